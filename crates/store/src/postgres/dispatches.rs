//! What the loops look for.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::{Target, TaskId, TaskName, Timestamp, WorkerId};
use uuid::Uuid;

use super::PostgresStore;
use super::database::AfterUnknown;
use super::rows::{Place, Time, int8, time, timestamp};
use super::tasks::release;
use crate::dispatches::{LookedAt, built_in_names};
use crate::{DispatchStore, EXTERNAL_SILENCE, Error, Orphan, PUBLISH_LEASE, Pulse, Ready, Unoffered, UnofferedSearch};

/// First-row probes, one for each loop.
const PULSE: &str = "
    WITH served AS MATERIALIZED (
        SELECT DISTINCT UNNEST(targets) AS target FROM workers WHERE state = 0
    )
    SELECT
        LEAST(
            (SELECT min(due_at) FROM dispatches WHERE state = 1),
            (SELECT min(due_at) FROM dispatches WHERE state = 3),
            (SELECT min(opens_at) FROM rate_keys WHERE waiting > 0),
            (SELECT $1::timestamptz FROM concurrency_keys WHERE waiting > 0 AND held < key_limit LIMIT 1)
        ),
        (SELECT min(expires_at) FROM dispatches),
        EXISTS (SELECT FROM tasks WHERE status = 1 AND expires_at < $2),
        EXISTS (SELECT FROM workers WHERE state = 0 AND lease_expires_at <= $1),
        EXISTS (
            SELECT FROM tasks
            WHERE status = 1
              AND NOT EXISTS (SELECT FROM workers WHERE workers.id = tasks.worker_id AND workers.state = 0)
        ),
        (SELECT count(*) FROM target_rates),
        EXISTS (SELECT FROM external_claims WHERE lease_expires_at <= $1),
        ARRAY(SELECT target FROM served),
        ARRAY(
            SELECT target
            FROM served
            -- Not EXISTS, which becomes a join over every ready row where statistics know of none.
            CROSS JOIN LATERAL (
                SELECT FROM dispatches WHERE dispatches.target = served.target AND dispatches.state = 0 LIMIT 1
            ) AS ready
        ),
        (SELECT min(wake_at) FROM schedules WHERE wake_at IS NOT NULL),
        EXISTS (SELECT FROM group_ends) OR EXISTS (SELECT FROM task_groups WHERE status IN (1, 2)),
        (SELECT min(due_at) FROM saga_timers),
        EXISTS (SELECT FROM saga_events WHERE seq IS NULL)";

/// Whether a task with conditions is due, or something that others wait for is free.
const ASKS: &str = "
    SELECT EXISTS (SELECT FROM dispatches WHERE state = 3 AND due_at <= $1)
        OR EXISTS (SELECT FROM rate_keys WHERE waiting > 0 AND opens_at <= $1)
        OR EXISTS (SELECT FROM concurrency_keys WHERE waiting > 0 AND held < key_limit)";

type PulseRow = (
    Option<Time>,
    Option<Time>,
    bool,
    bool,
    bool,
    i64,
    bool,
    Vec<String>,
    Vec<String>,
    Option<Time>,
    bool,
    Option<Time>,
    bool,
);
type ReadyRow = (Uuid, String, String);

fn ready(row: ReadyRow) -> Result<Ready, Error> {
    let (id, target, name) = row;
    let place = Place {
        table: "dispatches",
        row: &id,
    };
    Ok(Ready {
        task: TaskId(id),
        target: place.take("target", Target::new(target))?,
        name: place.take("name", TaskName::new(name))?,
    })
}

fn worker_targets(targets: Vec<String>) -> Result<BTreeSet<Target>, Error> {
    let place = Place {
        table: "workers",
        row: &"(live)",
    };
    targets
        .into_iter()
        .map(|target| place.take("targets", Target::new(target)))
        .collect()
}

fn task_ids(rows: Vec<(Uuid,)>) -> Vec<TaskId> {
    rows.into_iter().map(|(id,)| TaskId(id)).collect()
}

#[async_trait]
impl DispatchStore for PostgresStore {
    async fn pulse(&self, now: Timestamp, running_grace: Duration) -> Result<Pulse, Error> {
        let row: PulseRow = self
            .database
            .one(|| sqlx::query_as(PULSE).bind(time(now)).bind(time(now - running_grace)))
            .await?;
        let (
            next_due_at,
            next_deadline,
            overdue_running,
            silent_workers,
            orphans,
            rates,
            ended_leases,
            served,
            ready,
            next_schedule_at,
            groups,
            next_saga_timer_at,
            unlooked_sagas,
        ) = row;
        Ok(Pulse {
            next_due_at: next_due_at.map(timestamp),
            next_deadline: next_deadline.map(timestamp),
            next_schedule_at: next_schedule_at.map(timestamp),
            overdue_running,
            silent_workers,
            orphans,
            rates: usize::try_from(rates).unwrap_or(0),
            ended_leases,
            served_targets: worker_targets(served)?,
            ready_targets: worker_targets(ready)?,
            groups,
            next_saga_timer_at: next_saga_timer_at.map(timestamp),
            unlooked_sagas,
        })
    }

    async fn release_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Ready>, Error> {
        let rows: Vec<ReadyRow> = self
            .database
            // What an unanswered release made ready the feeder finds.
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "WITH due AS MATERIALIZED (
                        SELECT task_id
                        FROM dispatches
                        WHERE state = 1 AND due_at <= $1
                        ORDER BY due_at
                        LIMIT $2
                        -- Another process releases those.
                        FOR UPDATE SKIP LOCKED
                    )
                    UPDATE dispatches
                    SET state = 0, publish_at = $1
                    WHERE task_id = ANY(ARRAY(SELECT task_id FROM due))
                    RETURNING task_id, target, name",
                )
                .bind(time(now))
                .bind(int8(limit))
            })
            .await?;
        let mut released = rows.into_iter().map(ready).collect::<Result<Vec<_>, _>>()?;
        let (asks,): (bool,) = self.database.one(|| sqlx::query_as(ASKS).bind(time(now))).await?;
        if asks {
            released.extend(self.database.transact(release(now, limit)).await?);
        }
        Ok(released)
    }

    async fn feed(
        &self,
        target: &Target,
        window: usize,
        missing: usize,
        force: bool,
        now: Timestamp,
    ) -> Result<Vec<Ready>, Error> {
        let rows: Vec<ReadyRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "WITH offered AS MATERIALIZED (
                        SELECT DISTINCT UNNEST(names) AS name
                        FROM workers
                        -- External workers get no messages.
                        WHERE state = 0 AND key_id IS NULL AND $1 = ANY(targets)
                    ),
                    first AS MATERIALIZED (
                        SELECT ready.task_id, ready.priority, ready.due_at, ready.publish_at
                        FROM offered
                        CROSS JOIN LATERAL (
                            SELECT task_id, priority, due_at, publish_at
                            FROM dispatches
                            WHERE dispatches.target = $1 AND dispatches.name = offered.name AND state = 0
                            ORDER BY priority DESC, due_at
                            -- Of many names the first of each: claims find the others by themselves.
                            LIMIT greatest($2 / (SELECT count(*) FROM offered), 64)
                        ) AS ready
                        ORDER BY ready.priority DESC, ready.due_at
                        LIMIT $2
                    ),
                    unannounced AS MATERIALIZED (
                        SELECT dispatches.task_id
                        FROM dispatches
                        WHERE task_id = ANY(ARRAY(
                            SELECT task_id
                            FROM first
                            WHERE $4 OR publish_at <= $5
                            ORDER BY priority DESC, due_at
                            LIMIT $3
                        ))
                        -- Again under the lock: another feeder may have been here.
                        AND ($4 OR publish_at <= $5)
                        FOR UPDATE SKIP LOCKED
                    ),
                    moved AS (
                        UPDATE dispatches
                        SET publish_at = $6
                        WHERE task_id = ANY(ARRAY(SELECT task_id FROM unannounced))
                        RETURNING task_id, target, name, priority, due_at
                    )
                    SELECT task_id, target, name FROM moved ORDER BY priority DESC, due_at, task_id",
                )
                .bind(target.as_str())
                .bind(int8(window))
                .bind(int8(missing))
                .bind(force)
                .bind(time(now))
                .bind(time(now + PUBLISH_LEASE))
            })
            .await?;
        rows.into_iter().map(ready).collect()
    }

    async fn expired_pending(&self, now: Timestamp, limit: usize) -> Result<Vec<TaskId>, Error> {
        let rows = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as("SELECT task_id FROM dispatches WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2")
                    .bind(time(now))
                    .bind(int8(limit))
            })
            .await?;
        Ok(task_ids(rows))
    }

    async fn overdue_running(&self, deadline: Timestamp, limit: usize) -> Result<Vec<TaskId>, Error> {
        let rows = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as("SELECT id FROM tasks WHERE status = 1 AND expires_at < $1 ORDER BY expires_at LIMIT $2")
                    .bind(time(deadline))
                    .bind(int8(limit))
            })
            .await?;
        Ok(task_ids(rows))
    }

    async fn orphans(&self, limit: usize) -> Result<Vec<Orphan>, Error> {
        let rows: Vec<(Uuid, Uuid, i32)> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "SELECT id, worker_id, attempt
                    FROM tasks
                    WHERE status = 1
                      AND NOT EXISTS (SELECT FROM workers WHERE workers.id = tasks.worker_id AND workers.state = 0)
                    LIMIT $1",
                )
                .bind(int8(limit))
            })
            .await?;
        rows.into_iter()
            .map(|(id, worker, attempt)| {
                let place = Place {
                    table: "tasks",
                    row: &id,
                };
                Ok(Orphan {
                    task: TaskId(id),
                    worker: WorkerId(worker),
                    attempt: place.number("attempt", attempt)?,
                })
            })
            .collect()
    }

    async fn unoffered(&self, search: &UnofferedSearch) -> Result<Unoffered, Error> {
        let rows: Vec<LookedAtRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(UNOFFERED)
                    .bind(search.target.as_str())
                    // Every name is greater than none.
                    .bind(search.after.as_ref().map_or("", TaskName::as_str))
                    .bind(time(search.since))
                    .bind(time(search.now))
                    .bind(int8(search.names))
                    .bind(int8(search.tasks))
                    .bind(built_in_names())
                    .bind(time(search.now + EXTERNAL_SILENCE))
            })
            .await?;
        let rows: Result<Vec<LookedAt>, Error> = rows.into_iter().map(looked_at).collect();
        Ok(Unoffered::of(rows?, search))
    }
}

type LookedAtRow = (Option<Uuid>, String, i64);

fn looked_at(row: LookedAtRow) -> Result<LookedAt, Error> {
    let (task, name, place) = row;
    let found_at = Place {
        table: "dispatches",
        row: &name,
    };
    Ok(LookedAt {
        task: task.map(TaskId),
        place: found_at.number("place", place)?,
        name: found_at.take("name", TaskName::new(name.as_str()))?,
    })
}

/// A worker that was there until `since` or later could have offered the name since.
const UNOFFERED: &str = "
    WITH RECURSIVE offered AS MATERIALIZED (
        SELECT DISTINCT UNNEST(names) AS name FROM workers WHERE lease_expires_at > $3 AND $1 = ANY(targets)
    ),
    serving AS MATERIALIZED (
        SELECT names && $7 AS has_built_ins
        FROM workers
        WHERE state = 0
          -- Nobody is told when a program over HTTP ends.
          AND lease_expires_at > CASE WHEN key_id IS NULL THEN $4 ELSE $8 END
          AND registered_at <= $3
          AND $1 = ANY(targets)
    ),
    -- From one name to the next by the index: the backlog between them is not looked at.
    waiting (name, place) AS (
        SELECT (SELECT min(name) FROM dispatches WHERE target = $1 AND state = 0 AND name > $2), 1::bigint
        WHERE EXISTS (SELECT FROM serving)
        UNION ALL
        SELECT
            (
                SELECT min(dispatches.name)
                FROM dispatches
                WHERE dispatches.target = $1 AND state = 0 AND dispatches.name > waiting.name
            ),
            place + 1
        FROM waiting
        WHERE name IS NOT NULL AND place < $5
    ),
    found AS (
        SELECT ready.task_id, unoffered.name, unoffered.place
        FROM (
            SELECT name, place
            FROM waiting
            WHERE name IS NOT NULL
              AND NOT EXISTS (SELECT FROM offered WHERE offered.name = waiting.name)
              AND (name <> ALL($7) OR EXISTS (SELECT FROM serving WHERE has_built_ins))
            ORDER BY place
        ) AS unoffered
        CROSS JOIN LATERAL (
            SELECT task_id
            FROM dispatches
            WHERE dispatches.target = $1
              AND dispatches.name = unoffered.name
              AND state = 0
              AND due_at <= $3
              -- No index may serve this condition, see the claim; and none but that of the order.
              AND expires_at - $4 > INTERVAL '0'
            ORDER BY priority DESC, due_at
            LIMIT $6
        ) AS ready
        -- The next pass goes on behind the last name of this one.
        ORDER BY unoffered.place
        LIMIT $6
    )
    SELECT task_id, name, place FROM found
    UNION ALL
    (SELECT NULL, name, place FROM waiting WHERE name IS NOT NULL ORDER BY place DESC LIMIT 1)";
