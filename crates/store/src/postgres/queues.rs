//! Targets as queues.

use async_trait::async_trait;
use orchestratum_core::task::{Bucket, TargetRate};
use orchestratum_core::{Target, Timestamp};
use sqlx::PgConnection;

use super::PostgresStore;
use super::audit;
use super::database::{AfterUnknown, Database};
use super::rows::{Place, Time, int8, milliseconds, time, timestamp};
use super::transaction::{Abort, Transaction};
use crate::{Audit, Error, Queue, QueueStore};

const QUEUES: &str = "
    WITH waiting AS (
        SELECT target, count(*) AS depth, count(*) FILTER (WHERE state = 0) AS ready,
            min(due_at) FILTER (WHERE state = 0) AS oldest_due_at
        FROM dispatches
        GROUP BY target
    ),
    running AS (
        SELECT target, count(*) AS running FROM tasks WHERE status = 1 GROUP BY target
    ),
    known AS (
        SELECT target FROM waiting
        UNION
        SELECT target FROM running
        UNION
        SELECT target FROM paused_targets
        UNION
        SELECT target FROM target_rates
        UNION
        SELECT UNNEST(targets) FROM workers WHERE state = 0
    )
    SELECT
        target, COALESCE(depth, 0), COALESCE(ready, 0), COALESCE(running, 0),
        EXISTS (SELECT FROM paused_targets WHERE paused_targets.target = known.target), oldest_due_at,
        rate_limit, per_ms, burst
    FROM known
    LEFT JOIN waiting USING (target)
    LEFT JOIN running USING (target)
    LEFT JOIN target_rates USING (target)
    ORDER BY target COLLATE \"C\"";

type QueueRow = (
    String,
    i64,
    i64,
    i64,
    bool,
    Option<Time>,
    Option<i32>,
    Option<i64>,
    Option<i32>,
);

#[async_trait]
impl QueueStore for PostgresStore {
    async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let rows: Vec<QueueRow> = self
            .database
            .all(AfterUnknown::Repeat, || sqlx::query_as(QUEUES))
            .await?;
        rows.into_iter().map(queue).collect()
    }

    async fn ready(&self, target: &Target, most: usize) -> Result<u64, Error> {
        let (ready,): (i64,) = self
            .database
            .one(|| {
                sqlx::query_as(
                    "SELECT count(*)
                    FROM (SELECT FROM dispatches WHERE target = $1 AND state = 0 LIMIT $2) AS ready",
                )
                .bind(target.as_str())
                .bind(int8(most))
            })
            .await?;
        Ok(u64::try_from(ready).unwrap_or(0))
    }

    async fn set_paused(&self, target: &Target, paused: bool, audit: &Audit, now: Timestamp) -> Result<(), Error> {
        self.database
            .transact(SetPaused {
                target: target.clone(),
                paused,
                audit: audit.clone(),
                now,
            })
            .await
    }

    async fn is_paused(&self, target: &Target) -> Result<bool, Error> {
        let row: Option<(bool,)> = self
            .database
            .optional(|| sqlx::query_as("SELECT true FROM paused_targets WHERE target = $1").bind(target.as_str()))
            .await?;
        Ok(row.is_some())
    }

    async fn set_rate(
        &self,
        target: &Target,
        rate: Option<TargetRate>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), Error> {
        let set = SetRate {
            target: target.clone(),
            rate,
            audit: audit.clone(),
            now,
        };
        self.database.transact(set).await?;
        self.database.rated.forget();
        Ok(())
    }

    async fn rate(&self, target: &Target) -> Result<Option<Bucket>, Error> {
        let row: Option<RateRow> = self
            .database
            .optional(|| {
                sqlx::query_as(
                    "SELECT target, rate_limit, per_ms, burst, spent_until FROM target_rates WHERE target = $1",
                )
                .bind(target.as_str())
            })
            .await?;
        row.map(|row| Ok(bucket(row)?.1)).transpose()
    }

    async fn rated_targets(&self) -> Result<Vec<(Target, Bucket)>, Error> {
        rated_with_ready_tasks(&self.database, None).await
    }
}

/// The targets that have a rate and ready tasks and are not paused; where some are named, of these alone.
pub(super) async fn rated_with_ready_tasks(
    database: &Database,
    among: Option<&[Target]>,
) -> Result<Vec<(Target, Bucket)>, Error> {
    let among: Option<Vec<&str>> = among.map(|targets| targets.iter().map(Target::as_str).collect());
    let rows: Vec<RateRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "SELECT target, rate_limit, per_ms, burst, spent_until
                FROM target_rates
                -- Not EXISTS, as in the pulse.
                CROSS JOIN LATERAL (
                    SELECT FROM dispatches WHERE dispatches.target = target_rates.target AND state = 0 LIMIT 1
                ) AS ready
                WHERE ($1::text[] IS NULL OR target = ANY($1))
                  AND NOT EXISTS (SELECT FROM paused_targets WHERE paused_targets.target = target_rates.target)
                ORDER BY target COLLATE \"C\"",
            )
            .bind(&among)
        })
        .await?;
    rows.into_iter().map(bucket).collect()
}

pub(super) type RateRow = (String, i32, i64, i32, Time);

pub(super) fn bucket((target, limit, per_ms, burst, spent_until): RateRow) -> Result<(Target, Bucket), Error> {
    let place = Place {
        table: "target_rates",
        row: &target,
    };
    let bucket = Bucket {
        limit: place.number("rate_limit", limit)?,
        per: place.milliseconds("per_ms", per_ms)?,
        burst: place.number("burst", burst)?,
        spent_until: timestamp(spent_until),
    };
    Ok((place.take("target", Target::new(target.as_str()))?, bucket))
}

/// Of the targets that have a rate, under their locks: in one order, whoever takes starts.
pub(super) async fn lock_buckets(
    connection: &mut PgConnection,
    targets: &[&str],
) -> Result<Vec<(Target, Bucket)>, Abort> {
    let rows: Vec<RateRow> = sqlx::query_as(
        "SELECT target, rate_limit, per_ms, burst, spent_until
        FROM target_rates
        WHERE target = ANY($1)
        ORDER BY target COLLATE \"C\"
        FOR UPDATE",
    )
    .bind(targets)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(bucket).collect::<Result<_, _>>()?)
}

/// So many starts were taken.
pub(super) async fn spend(
    connection: &mut PgConnection,
    target: &Target,
    bucket: Bucket,
    starts: usize,
    now: Timestamp,
) -> Result<(), Abort> {
    if starts == 0 {
        return Ok(());
    }
    let bucket = bucket.after(u32::try_from(starts).unwrap_or(u32::MAX), now);
    sqlx::query("UPDATE target_rates SET spent_until = $2 WHERE target = $1")
        .bind(target.as_str())
        .bind(time(bucket.spent_until))
        .execute(connection)
        .await?;
    Ok(())
}

struct SetRate {
    target: Target,
    rate: Option<TargetRate>,
    audit: Audit,
    now: Timestamp,
}

impl Transaction for SetRate {
    type Output = ();

    async fn perform(&self, connection: &mut PgConnection) -> Result<(), Abort> {
        match self.rate {
            Some(TargetRate { limit, per, burst }) => {
                sqlx::query(
                    "INSERT INTO target_rates (target, rate_limit, per_ms, burst, spent_until)
                    VALUES ($1, $2, $3, $4, $5)
                    -- What was taken stays taken.
                    ON CONFLICT (target) DO UPDATE
                    SET rate_limit = EXCLUDED.rate_limit, per_ms = EXCLUDED.per_ms, burst = EXCLUDED.burst",
                )
                .bind(self.target.as_str())
                .bind(i32::try_from(limit).unwrap_or(i32::MAX))
                .bind(milliseconds(per))
                .bind(i32::try_from(burst).unwrap_or(i32::MAX))
                .bind(time(self.now))
                .execute(&mut *connection)
                .await?
            }
            None => {
                sqlx::query("DELETE FROM target_rates WHERE target = $1")
                    .bind(self.target.as_str())
                    .execute(&mut *connection)
                    .await?
            }
        };
        audit::record(connection, &self.audit.about(self.target.as_str()), self.now).await?;
        Ok(())
    }
}

fn queue(row: QueueRow) -> Result<Queue, Error> {
    let (target, depth, ready, running, paused, oldest_due_at, limit, per_ms, burst) = row;
    let place = Place {
        table: "queues",
        row: &target,
    };
    Ok(Queue {
        target: place.take("target", Target::new(target.as_str()))?,
        depth: place.number("depth", depth)?,
        ready: place.number("ready", ready)?,
        running: place.number("running", running)?,
        paused,
        rate: match (limit, per_ms, burst) {
            (Some(limit), Some(per_ms), Some(burst)) => Some(TargetRate {
                limit: place.number("rate_limit", limit)?,
                per: place.milliseconds("per_ms", per_ms)?,
                burst: place.number("burst", burst)?,
            }),
            _ => None,
        },
        oldest_due_at: oldest_due_at.map(timestamp),
    })
}

struct SetPaused {
    target: Target,
    paused: bool,
    audit: Audit,
    now: Timestamp,
}

impl Transaction for SetPaused {
    type Output = ();

    async fn perform(&self, connection: &mut PgConnection) -> Result<(), Abort> {
        let statement = if self.paused {
            "INSERT INTO paused_targets (target) VALUES ($1) ON CONFLICT (target) DO NOTHING"
        } else {
            "DELETE FROM paused_targets WHERE target = $1"
        };
        sqlx::query(statement)
            .bind(self.target.as_str())
            .execute(&mut *connection)
            .await?;
        audit::record(connection, &self.audit.about(self.target.as_str()), self.now).await?;
        Ok(())
    }
}
