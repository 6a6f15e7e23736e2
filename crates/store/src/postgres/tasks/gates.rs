//! Places of concurrency keys and starts of rate keys: who gives them back, and who gets them.
//!
//! A key is locked after tasks and their dispatch rows, concurrency keys before rate keys, each kind in the order of the keys. Whose
//! dispatch row somebody else has locked is passed over: that one changes the task, and settles its keys after that. Should it
//! fail instead, the loop for due tasks finds the free place.

use std::collections::BTreeMap;

use orchestratum_core::task::{Conditions, Rate};
use orchestratum_core::{Target, TaskId, TaskName, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::rows::{Place, Time, int8, time, timestamp};
use super::super::transaction::{Abort, Transaction};
use super::apply::column;
use super::row::conditions_of;
use crate::decide::{Asking, DispatchState, GIVEN_MAX, GateChanges, PlaceCounts, StartCounts};
use crate::{Error, Ready};

/// Gives back, asks, and hands on: what became ready with it.
pub(in super::super) async fn settle(
    connection: &mut PgConnection,
    changes: &GateChanges,
    publish_at: Timestamp,
    now: Timestamp,
) -> Result<Vec<Ready>, Abort> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let Placed { mut ready, starting } = settle_places(connection, changes).await?;
    ready.extend(settle_starts(connection, changes, starting, now).await?);
    if ready.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
        "UPDATE dispatches SET state = 0, publish_at = $2 WHERE task_id = ANY($1::uuid[])
        RETURNING task_id, target, name",
    )
    .bind(&ready)
    .bind(time(publish_at))
    .fetch_all(connection)
    .await?;
    let ready = rows.into_iter().map(|(id, target, name)| {
        let place = Place {
            table: "dispatches",
            row: &id,
        };
        Ok(Ready {
            task: TaskId(id),
            target: place.take("target", Target::new(target))?,
            name: place.take("name", TaskName::new(name))?,
        })
    });
    let mut ready = ready.collect::<Result<Vec<_>, Error>>()?;
    ready.sort_unstable_by_key(|ready| ready.task);
    Ok(ready)
}

/// Those that have got a place.
#[derive(Default)]
struct Placed {
    ready: Vec<Uuid>,
    /// They need a start as well.
    starting: Vec<(Asking, Rate)>,
}

async fn settle_places(connection: &mut PgConnection, changes: &GateChanges) -> Result<Placed, Abort> {
    if changes.places.is_empty() {
        return Ok(Placed::default());
    }
    let mut keys = lock_places(connection, changes).await?;
    if !changes.leaving.is_empty() {
        let gone: Vec<(String, bool)> =
            sqlx::query_as("DELETE FROM places WHERE task_id = ANY($1::uuid[]) RETURNING key, held")
                .bind(column(&changes.leaving, |task| task.0))
                .fetch_all(&mut *connection)
                .await?;
        for (key, held) in gone {
            if let Some(counts) = keys.get_mut(&key) {
                counts.leave(held);
            }
        }
    }
    if !changes.asking.is_empty() {
        insert_waits(
            connection,
            "INSERT INTO places (task_id, key, held, priority, due_at)
            SELECT task_id, key, false, priority, due_at
            FROM UNNEST($1::uuid[], $2::text[], $3::smallint[], $4::timestamptz[]) AS new (task_id, key, priority, due_at)",
            &changes.asking,
        )
        .await?;
        for asking in &changes.asking {
            if let Some(counts) = keys.get_mut(&asking.key) {
                counts.waiting += 1;
            }
        }
    }
    let placed = give_places(connection, &mut keys).await?;
    write_places(connection, &keys).await?;
    Ok(placed)
}

async fn lock_places(
    connection: &mut PgConnection,
    changes: &GateChanges,
) -> Result<BTreeMap<String, PlaceCounts>, Abort> {
    let new_limit = |key: &String, limit: u16| i32::from(changes.limits.get(key).copied().unwrap_or(limit));
    let keys: Vec<&String> = changes.places.keys().collect();
    let limits: Vec<i32> = changes
        .places
        .iter()
        .map(|(key, limit)| new_limit(key, *limit))
        .collect();
    let brought: Vec<&String> = changes.limits.keys().collect();
    let rows: Vec<(String, i32, i32, i32)> = sqlx::query_as(
        "INSERT INTO concurrency_keys AS known (key, key_limit, held, waiting)
        SELECT key, key_limit, 0, 0
        FROM UNNEST($1::text[], $2::integer[]) AS new (key, key_limit)
        -- The order in which everyone locks.
        ORDER BY key COLLATE \"C\"
        ON CONFLICT (key) DO UPDATE
        SET key_limit = CASE WHEN known.key = ANY($3::text[]) THEN EXCLUDED.key_limit ELSE known.key_limit END
        RETURNING key, key_limit, held, waiting",
    )
    .bind(&keys)
    .bind(&limits)
    .bind(&brought)
    .fetch_all(connection)
    .await?;
    let counts = rows.into_iter().map(|(key, limit, held, waiting)| {
        let counts = PlaceCounts {
            limit: limit.into(),
            held: held.into(),
            waiting: waiting.into(),
        };
        (key, counts)
    });
    Ok(counts.collect())
}

type PickedRow = (Uuid, String, i16, Time, Option<String>);

/// Free places go to the next in line.
async fn give_places(connection: &mut PgConnection, keys: &mut BTreeMap<String, PlaceCounts>) -> Result<Placed, Abort> {
    let mut left = GIVEN_MAX;
    let free = keys.iter().map(|(key, counts)| (key, counts.free(&mut left)));
    let free: Vec<(&String, i64)> = free.filter(|(_, free)| *free > 0).collect();
    if free.is_empty() {
        return Ok(Placed::default());
    }
    let picked: Vec<PickedRow> = sqlx::query_as(
        "WITH picked AS MATERIALIZED (
            SELECT next.task_id, next.key, next.priority, next.due_at
            FROM UNNEST($1::text[], $2::bigint[]) AS free (key, places)
            CROSS JOIN LATERAL (
                SELECT places.task_id, places.key, places.priority, places.due_at
                FROM places
                JOIN dispatches ON dispatches.task_id = places.task_id
                WHERE places.key = free.key AND NOT places.held
                ORDER BY places.priority DESC, places.due_at, places.task_id
                LIMIT free.places
                FOR UPDATE OF dispatches SKIP LOCKED
            ) AS next
        ),
        held AS (
            UPDATE places SET held = true WHERE task_id = ANY(ARRAY(SELECT task_id FROM picked))
        )
        SELECT task_id, key, picked.priority, due_at, (SELECT conditions FROM tasks WHERE tasks.id = picked.task_id)
        FROM picked",
    )
    .bind(column(&free, |(key, _)| key.as_str()))
    .bind(column(&free, |(_, free)| *free))
    .fetch_all(connection)
    .await?;
    let mut placed = Placed::default();
    for (id, key, priority, due_at, conditions) in picked {
        if let Some(counts) = keys.get_mut(&key) {
            counts.give(1);
        }
        let place = Place {
            table: "tasks",
            row: &id,
        };
        let conditions = place.present("conditions", conditions_of(&place, conditions.as_deref())?)?;
        match conditions.rate {
            None => placed.ready.push(id),
            Some(rate) => placed.starting.push((
                Asking {
                    task: TaskId(id),
                    key: rate.key.clone(),
                    priority: place.number("priority", priority)?,
                    due_at: timestamp(due_at),
                },
                rate,
            )),
        }
    }
    Ok(placed)
}

async fn write_places(connection: &mut PgConnection, keys: &BTreeMap<String, PlaceCounts>) -> Result<(), Abort> {
    let rows: Vec<(&String, &PlaceCounts)> = keys.iter().collect();
    let (unused, used): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, counts)| counts.is_unused());
    if !used.is_empty() {
        sqlx::query(
            "UPDATE concurrency_keys
            SET held = new.held, waiting = new.waiting
            FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS new (key, held, waiting)
            WHERE concurrency_keys.key = new.key",
        )
        .bind(column(&used, |(key, _)| key.as_str()))
        .bind(column(&used, |(_, counts)| counts.held))
        .bind(column(&used, |(_, counts)| counts.waiting))
        .execute(&mut *connection)
        .await?;
    }
    if !unused.is_empty() {
        sqlx::query("DELETE FROM concurrency_keys WHERE key = ANY($1::text[])")
            .bind(column(&unused, |(key, _)| key.as_str()))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The tasks that have got a start.
async fn settle_starts(
    connection: &mut PgConnection,
    changes: &GateChanges,
    placed: Vec<(Asking, Rate)>,
    now: Timestamp,
) -> Result<Vec<Uuid>, Abort> {
    let mut wanted = changes.starts.clone();
    let mut asking = changes.starting.clone();
    let throttled: Vec<Uuid> = placed.iter().map(|(asking, _)| asking.task.0).collect();
    for (one, rate) in placed {
        wanted.entry(rate.key.clone()).or_insert(rate);
        asking.push(one);
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut keys = lock_starts(connection, &wanted, &changes.rates).await?;
    let gone: Vec<(String,)> = sqlx::query_as("DELETE FROM rate_waits WHERE task_id = ANY($1::uuid[]) RETURNING key")
        .bind(column(&changes.leaving, |task| task.0))
        .fetch_all(&mut *connection)
        .await?;
    for (key,) in gone {
        if let Some(counts) = keys.get_mut(&key) {
            counts.waiting -= 1;
        }
    }
    if !asking.is_empty() {
        insert_waits(
            connection,
            "INSERT INTO rate_waits (task_id, key, priority, due_at)
            SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::smallint[], $4::timestamptz[])",
            &asking,
        )
        .await?;
        for one in &asking {
            if let Some(counts) = keys.get_mut(&one.key) {
                counts.waiting += 1;
            }
        }
    }
    if !throttled.is_empty() {
        sqlx::query("UPDATE dispatches SET state = 4 WHERE task_id = ANY($1::uuid[])")
            .bind(&throttled)
            .execute(&mut *connection)
            .await?;
    }
    let started = give_starts(connection, &mut keys, now).await?;
    write_starts(connection, &keys).await?;
    Ok(started)
}

async fn lock_starts(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, Rate>,
    brought: &BTreeMap<String, Rate>,
) -> Result<BTreeMap<String, StartCounts>, Abort> {
    let rates: Vec<&Rate> = wanted
        .iter()
        .map(|(key, rate)| brought.get(key).unwrap_or(rate))
        .collect();
    let rows: Vec<(String, i32, i64, Time, i32)> = sqlx::query_as(
        "INSERT INTO rate_keys AS known (key, rate_limit, per_ms, spent_until, opens_at, waiting)
        SELECT key, rate_limit, per_ms, TIMESTAMPTZ 'epoch', TIMESTAMPTZ 'epoch', 0
        FROM UNNEST($1::text[], $2::integer[], $3::bigint[]) AS new (key, rate_limit, per_ms)
        ORDER BY key COLLATE \"C\"
        ON CONFLICT (key) DO UPDATE
        SET rate_limit = CASE WHEN known.key = ANY($4::text[]) THEN EXCLUDED.rate_limit ELSE known.rate_limit END,
            per_ms = CASE WHEN known.key = ANY($4::text[]) THEN EXCLUDED.per_ms ELSE known.per_ms END
        RETURNING key, rate_limit, per_ms, spent_until, waiting",
    )
    .bind(wanted.keys().collect::<Vec<_>>())
    .bind(column(&rates, |rate| i32::try_from(rate.limit).unwrap_or(i32::MAX)))
    .bind(column(&rates, |rate| i64::try_from(rate.per_ms).unwrap_or(i64::MAX)))
    .bind(brought.keys().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let counts = rows.into_iter().map(|(key, limit, per_ms, spent_until, waiting)| {
        let counts = StartCounts::new(limit.into(), per_ms, timestamp(spent_until), waiting.into());
        (key, counts)
    });
    Ok(counts.collect())
}

async fn give_starts(
    connection: &mut PgConnection,
    keys: &mut BTreeMap<String, StartCounts>,
    now: Timestamp,
) -> Result<Vec<Uuid>, Abort> {
    let mut left = GIVEN_MAX;
    let free = keys.iter().map(|(key, counts)| (key, counts.free(&mut left, now)));
    let free: Vec<(&String, i64)> = free.filter(|(_, free)| *free > 0).collect();
    if free.is_empty() {
        return Ok(Vec::new());
    }
    let picked: Vec<(Uuid, String)> = sqlx::query_as(
        "WITH picked AS MATERIALIZED (
            SELECT next.task_id
            FROM UNNEST($1::text[], $2::bigint[]) AS free (key, starts)
            CROSS JOIN LATERAL (
                SELECT rate_waits.task_id
                FROM rate_waits
                JOIN dispatches ON dispatches.task_id = rate_waits.task_id
                WHERE rate_waits.key = free.key
                ORDER BY rate_waits.priority DESC, rate_waits.due_at, rate_waits.task_id
                LIMIT free.starts
                FOR UPDATE OF dispatches SKIP LOCKED
            ) AS next
        )
        DELETE FROM rate_waits WHERE task_id = ANY(ARRAY(SELECT task_id FROM picked)) RETURNING task_id, key",
    )
    .bind(column(&free, |(key, _)| key.as_str()))
    .bind(column(&free, |(_, free)| *free))
    .fetch_all(connection)
    .await?;
    let mut given: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, key) in &picked {
        *given.entry(key).or_default() += 1;
    }
    for (key, starts) in given {
        if let Some(counts) = keys.get_mut(key) {
            counts.give(starts, now);
        }
    }
    Ok(picked.into_iter().map(|(id, _)| id).collect())
}

async fn write_starts(connection: &mut PgConnection, keys: &BTreeMap<String, StartCounts>) -> Result<(), Abort> {
    let rows: Vec<(&String, &StartCounts)> = keys.iter().collect();
    sqlx::query(
        "UPDATE rate_keys
        SET spent_until = new.spent_until, opens_at = new.opens_at, waiting = new.waiting
        FROM UNNEST($1::text[], $2::timestamptz[], $3::timestamptz[], $4::bigint[])
            AS new (key, spent_until, opens_at, waiting)
        WHERE rate_keys.key = new.key",
    )
    .bind(column(&rows, |(key, _)| key.as_str()))
    .bind(column(&rows, |(_, counts)| time(counts.bucket.spent_until)))
    .bind(column(&rows, |(_, counts)| time(counts.bucket.opens_at())))
    .bind(column(&rows, |(_, counts)| counts.waiting))
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_waits(connection: &mut PgConnection, statement: &'static str, asking: &[Asking]) -> Result<(), Abort> {
    sqlx::query(statement)
        .bind(column(asking, |one| one.task.0))
        .bind(column(asking, |one| one.key.as_str()))
        .bind(column(asking, |one| i16::from(one.priority)))
        .bind(column(asking, |one| time(one.due_at)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Tasks with conditions whose time has come ask; free places and starts that somebody waits for are given.
pub(in super::super) struct Release {
    pub(in super::super) now: Timestamp,
    pub(in super::super) limit: usize,
}

pub(in super::super) const fn release(now: Timestamp, limit: usize) -> Release {
    Release { now, limit }
}

impl Transaction for Release {
    type Output = Vec<Ready>;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Vec<Ready>, Abort> {
        let mut changes = GateChanges::default();
        ask_due(connection, self.now, self.limit, &mut changes).await?;
        find_free(connection, self.now, self.limit, &mut changes).await?;
        settle(connection, &changes, self.now, self.now).await
    }
}

async fn ask_due(
    connection: &mut PgConnection,
    now: Timestamp,
    limit: usize,
    changes: &mut GateChanges,
) -> Result<(), Abort> {
    let due: Vec<(Uuid, i16, Time, Option<String>)> = sqlx::query_as(
        "WITH due AS MATERIALIZED (
            SELECT task_id, priority, due_at
            FROM dispatches
            WHERE state = 3 AND due_at <= $1
            ORDER BY due_at
            LIMIT $2
            -- Another process releases those.
            FOR UPDATE SKIP LOCKED
        )
        SELECT task_id, due.priority, due_at, (SELECT conditions FROM tasks WHERE tasks.id = due.task_id) FROM due",
    )
    .bind(time(now))
    .bind(int8(limit))
    .fetch_all(&mut *connection)
    .await?;
    if due.is_empty() {
        return Ok(());
    }
    let mut states: Vec<(Uuid, i16)> = Vec::with_capacity(due.len());
    for (id, priority, due_at, conditions) in due {
        let place = Place {
            table: "tasks",
            row: &id,
        };
        let conditions: Box<Conditions> = place.present("conditions", conditions_of(&place, conditions.as_deref())?)?;
        let due_at = timestamp(due_at);
        states.push((id, DispatchState::of(Some(&conditions), due_at, now).code()));
        changes.ask(TaskId(id), &conditions, place.number("priority", priority)?, due_at);
    }
    sqlx::query(
        "UPDATE dispatches SET state = new.state
        FROM UNNEST($1::uuid[], $2::smallint[]) AS new (task_id, state)
        WHERE dispatches.task_id = new.task_id",
    )
    .bind(column(&states, |(id, _)| *id))
    .bind(column(&states, |(_, state)| *state))
    .execute(connection)
    .await?;
    Ok(())
}

/// The keys are only read here: they are locked in their order, with those of the tasks that ask.
async fn find_free(
    connection: &mut PgConnection,
    now: Timestamp,
    limit: usize,
    changes: &mut GateChanges,
) -> Result<(), Abort> {
    let places: Vec<(String, i32)> =
        sqlx::query_as("SELECT key, key_limit FROM concurrency_keys WHERE waiting > 0 AND held < key_limit LIMIT $1")
            .bind(int8(limit))
            .fetch_all(&mut *connection)
            .await?;
    let starts: Vec<(String, i32, i64)> = sqlx::query_as(
        "SELECT key, rate_limit, per_ms FROM rate_keys WHERE waiting > 0 AND opens_at <= $1 ORDER BY opens_at LIMIT $2",
    )
    .bind(time(now))
    .bind(int8(limit))
    .fetch_all(connection)
    .await?;
    for (key, key_limit) in places {
        changes
            .places
            .entry(key)
            .or_insert(u16::try_from(key_limit).unwrap_or(u16::MAX));
    }
    for (key, limit, per_ms) in starts {
        let rate = Rate {
            key: key.clone(),
            limit: u32::try_from(limit).unwrap_or(1),
            per_ms: u64::try_from(per_ms).unwrap_or(1),
        };
        changes.starts.entry(key).or_insert(rate);
    }
    Ok(())
}
