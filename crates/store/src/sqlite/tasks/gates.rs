//! Places of concurrency keys and starts of rate keys: who gives them back, and who gets them. The one writer has no one to wait for.

use std::collections::BTreeMap;

use orchestratum_core::task::{Conditions, Rate};
use orchestratum_core::{TaskId, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{conditions, damaged, get, id_list, number, signed, task_id, timestamp, word};
use crate::decide::{Asking, DispatchState, GIVEN_MAX, GateChanges, PlaceCounts, StartCounts};
use crate::{Error, Ready};

/// Gives back, asks, and hands on: what became ready with it.
pub(in super::super) async fn settle(
    connection: &mut SqliteConnection,
    changes: &GateChanges,
    publish_at: Timestamp,
    now: Timestamp,
) -> Result<Vec<Ready>, Error> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let Placed { mut ready, starting } = settle_places(connection, changes).await?;
    ready.extend(settle_starts(connection, changes, starting, now).await?);
    if ready.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "UPDATE dispatches SET state = 0, publish_at = ?2
         WHERE task_id IN (SELECT unhex(value) FROM json_each(?1))
         RETURNING task_id, target, name",
    )
    .bind(id_list(ready))
    .bind(publish_at.as_micros())
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    let mut ready = rows.iter().map(ready_task).collect::<Result<Vec<_>, Error>>()?;
    ready.sort_unstable_by_key(|ready| ready.task);
    Ok(ready)
}

fn ready_task(row: &SqliteRow) -> Result<Ready, Error> {
    let task = task_id(row, "task_id")?;
    Ok(Ready {
        task,
        target: word(row, "dispatches", "target", task)?,
        name: word(row, "dispatches", "name", task)?,
    })
}

/// Those that have got a place.
#[derive(Default)]
struct Placed {
    ready: Vec<TaskId>,
    /// They need a start as well.
    starting: Vec<(Asking, Rate)>,
}

async fn settle_places(connection: &mut SqliteConnection, changes: &GateChanges) -> Result<Placed, Error> {
    let mut keys = BTreeMap::new();
    for (key, limit) in &changes.places {
        let brought = changes.limits.get(key).copied();
        keys.insert(key.as_str(), place_counts(connection, key, *limit, brought).await?);
    }
    let gone =
        sqlx::query("DELETE FROM places WHERE task_id IN (SELECT unhex(value) FROM json_each(?1)) RETURNING key, held")
            .bind(id_list(changes.leaving.iter().copied()))
            .fetch_all(&mut *connection)
            .await
            .map_err(sql)?;
    for row in &gone {
        if let Some(counts) = keys.get_mut(get::<&str>(row, "key")?) {
            counts.leave(get(row, "held")?);
        }
    }
    for asking in &changes.asking {
        let insert = "INSERT INTO places (task_id, key, held, priority, due_at) VALUES (?1, ?2, 0, ?3, ?4)";
        insert_wait(connection, insert, asking).await?;
        if let Some(counts) = keys.get_mut(asking.key.as_str()) {
            counts.waiting += 1;
        }
    }
    let (mut placed, mut left) = (Placed::default(), GIVEN_MAX);
    for (key, mut counts) in keys {
        let free = counts.free(&mut left);
        if free > 0 {
            counts.give(free);
            give_places(connection, key, free, &mut placed).await?;
        }
        write_places(connection, key, counts).await?;
    }
    Ok(placed)
}

async fn place_counts(
    connection: &mut SqliteConnection,
    key: &str,
    limit: u16,
    brought: Option<u16>,
) -> Result<PlaceCounts, Error> {
    let row = sqlx::query("SELECT key_limit, held, waiting FROM concurrency_keys WHERE key = ?1")
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(sql)?;
    let counts = match &row {
        None => PlaceCounts {
            limit: limit.into(),
            held: 0,
            waiting: 0,
        },
        Some(row) => PlaceCounts {
            limit: get(row, "key_limit")?,
            held: get(row, "held")?,
            waiting: get(row, "waiting")?,
        },
    };
    Ok(PlaceCounts {
        limit: brought.map_or(counts.limit, i64::from),
        ..counts
    })
}

/// Free places go to the next in line.
async fn give_places(
    connection: &mut SqliteConnection,
    key: &str,
    free: i64,
    placed: &mut Placed,
) -> Result<(), Error> {
    let rows = sqlx::query(
        "SELECT p.task_id, p.priority, p.due_at, t.conditions
         FROM (
             SELECT task_id, priority, due_at
             FROM places
             WHERE key = ?1 AND NOT held
             ORDER BY priority DESC, due_at, task_id
             LIMIT ?2
         ) p
         CROSS JOIN tasks t ON t.id = p.task_id",
    )
    .bind(key)
    .bind(free)
    .fetch_all(&mut *connection)
    .await
    .map_err(sql)?;
    let mut held = Vec::with_capacity(rows.len());
    for row in &rows {
        let task = task_id(row, "task_id")?;
        held.push(task);
        match some_conditions(row, task)?.rate {
            None => placed.ready.push(task),
            Some(rate) => placed.starting.push((
                Asking {
                    task,
                    key: rate.key.clone(),
                    priority: number(row, "places", "priority", task)?,
                    due_at: timestamp(row, "due_at")?,
                },
                rate,
            )),
        }
    }
    sqlx::query("UPDATE places SET held = 1 WHERE task_id IN (SELECT unhex(value) FROM json_each(?1))")
        .bind(id_list(held))
        .execute(connection)
        .await
        .map_err(sql)?;
    Ok(())
}

fn some_conditions(row: &SqliteRow, task: TaskId) -> Result<Box<Conditions>, Error> {
    conditions(row, task)?.ok_or_else(|| damaged("tasks", "conditions", task, "it is missing"))
}

async fn write_places(connection: &mut SqliteConnection, key: &str, counts: PlaceCounts) -> Result<(), Error> {
    let statement = if counts.is_unused() {
        "DELETE FROM concurrency_keys WHERE key = ?1"
    } else {
        "INSERT OR REPLACE INTO concurrency_keys (key, key_limit, held, waiting) VALUES (?1, ?2, ?3, ?4)"
    };
    let mut query = sqlx::query(statement).bind(key);
    if !counts.is_unused() {
        query = query.bind(counts.limit).bind(counts.held).bind(counts.waiting);
    }
    query.execute(connection).await.map_err(sql)?;
    Ok(())
}

/// The tasks that have got a start.
async fn settle_starts(
    connection: &mut SqliteConnection,
    changes: &GateChanges,
    placed: Vec<(Asking, Rate)>,
    now: Timestamp,
) -> Result<Vec<TaskId>, Error> {
    let mut wanted = changes.starts.clone();
    let mut asking = changes.starting.clone();
    let throttled: Vec<TaskId> = placed.iter().map(|(asking, _)| asking.task).collect();
    for (one, rate) in placed {
        wanted.entry(rate.key.clone()).or_insert(rate);
        asking.push(one);
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut keys = BTreeMap::new();
    for (key, rate) in &wanted {
        keys.insert(
            key.as_str(),
            start_counts(connection, rate, changes.rates.get(key)).await?,
        );
    }
    let gone =
        sqlx::query("DELETE FROM rate_waits WHERE task_id IN (SELECT unhex(value) FROM json_each(?1)) RETURNING key")
            .bind(id_list(changes.leaving.iter().copied()))
            .fetch_all(&mut *connection)
            .await
            .map_err(sql)?;
    for row in &gone {
        if let Some(counts) = keys.get_mut(get::<&str>(row, "key")?) {
            counts.waiting -= 1;
        }
    }
    for one in &asking {
        let insert = "INSERT INTO rate_waits (task_id, key, priority, due_at) VALUES (?1, ?2, ?3, ?4)";
        insert_wait(connection, insert, one).await?;
        if let Some(counts) = keys.get_mut(one.key.as_str()) {
            counts.waiting += 1;
        }
    }
    sqlx::query("UPDATE dispatches SET state = 4 WHERE task_id IN (SELECT unhex(value) FROM json_each(?1))")
        .bind(id_list(throttled))
        .execute(&mut *connection)
        .await
        .map_err(sql)?;
    let (mut started, mut left) = (Vec::new(), GIVEN_MAX);
    for (key, mut counts) in keys {
        let free = counts.free(&mut left, now);
        if free > 0 {
            counts.give(free, now);
            started.extend(give_starts(connection, key, free).await?);
        }
        write_starts(connection, key, counts).await?;
    }
    Ok(started)
}

async fn start_counts(
    connection: &mut SqliteConnection,
    rate: &Rate,
    brought: Option<&Rate>,
) -> Result<StartCounts, Error> {
    let row = sqlx::query("SELECT rate_limit, per_ms, spent_until, waiting FROM rate_keys WHERE key = ?1")
        .bind(&rate.key)
        .fetch_optional(connection)
        .await
        .map_err(sql)?;
    let new = brought.unwrap_or(rate);
    let (mut limit, mut per_ms) = (i64::from(new.limit), signed(new.per_ms));
    let (mut spent_until, mut waiting) = (Timestamp::EPOCH, 0);
    if let Some(row) = &row {
        (spent_until, waiting) = (timestamp(row, "spent_until")?, get(row, "waiting")?);
        if brought.is_none() {
            (limit, per_ms) = (get(row, "rate_limit")?, get(row, "per_ms")?);
        }
    }
    Ok(StartCounts::new(limit, per_ms, spent_until, waiting))
}

async fn give_starts(connection: &mut SqliteConnection, key: &str, free: i64) -> Result<Vec<TaskId>, Error> {
    let rows = sqlx::query(
        "DELETE FROM rate_waits
         WHERE task_id IN (
             SELECT task_id FROM rate_waits WHERE key = ?1 ORDER BY priority DESC, due_at, task_id LIMIT ?2
         )
         RETURNING task_id",
    )
    .bind(key)
    .bind(free)
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    rows.iter().map(|row| task_id(row, "task_id")).collect()
}

async fn write_starts(connection: &mut SqliteConnection, key: &str, counts: StartCounts) -> Result<(), Error> {
    let StartCounts { bucket, waiting } = counts;
    sqlx::query(
        "INSERT OR REPLACE INTO rate_keys (key, rate_limit, per_ms, spent_until, opens_at, waiting)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(key)
    .bind(bucket.limit)
    .bind(signed(bucket.per.as_millis()))
    .bind(bucket.spent_until.as_micros())
    .bind(bucket.opens_at().as_micros())
    .bind(waiting)
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}

async fn insert_wait(connection: &mut SqliteConnection, statement: &'static str, asking: &Asking) -> Result<(), Error> {
    sqlx::query(statement)
        .bind(asking.task.0)
        .bind(&asking.key)
        .bind(asking.priority)
        .bind(asking.due_at.as_micros())
        .execute(connection)
        .await
        .map_err(sql)?;
    Ok(())
}

/// Whether a task with conditions is due, or something that others wait for is free.
const ASKS: &str = "
    SELECT EXISTS (SELECT 1 FROM dispatches WHERE state = 3 AND due_at <= ?1)
        OR EXISTS (SELECT 1 FROM rate_keys WHERE waiting > 0 AND opens_at <= ?1)
        OR EXISTS (SELECT 1 FROM concurrency_keys WHERE waiting > 0 AND held < key_limit)";

/// Tasks with conditions whose time has come ask; free places and starts that somebody waits for are given.
pub(in super::super) async fn release(store: &SqliteStore, now: Timestamp, limit: usize) -> Result<Vec<Ready>, Error> {
    let asks: bool = sqlx::query_scalar(ASKS)
        .bind(now.as_micros())
        .fetch_one(&store.read)
        .await
        .map_err(sql)?;
    if !asks {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin().await?;
    let mut changes = GateChanges::default();
    ask_due(&mut transaction, now, limit, &mut changes).await?;
    find_free(&mut transaction, now, limit, &mut changes).await?;
    let ready = settle(&mut transaction, &changes, now, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(ready)
}

async fn ask_due(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: usize,
    changes: &mut GateChanges,
) -> Result<(), Error> {
    let rows = sqlx::query(
        "SELECT d.task_id, d.priority, d.due_at, t.conditions
         FROM (SELECT * FROM dispatches WHERE state = 3 AND due_at <= ?1 ORDER BY due_at, task_id LIMIT ?2) d
         CROSS JOIN tasks t ON t.id = d.task_id",
    )
    .bind(now.as_micros())
    .bind(signed(limit))
    .fetch_all(&mut *connection)
    .await
    .map_err(sql)?;
    for row in &rows {
        let task = task_id(row, "task_id")?;
        let (conditions, due_at) = (some_conditions(row, task)?, timestamp(row, "due_at")?);
        changes.ask(task, &conditions, number(row, "dispatches", "priority", task)?, due_at);
        sqlx::query("UPDATE dispatches SET state = ?2 WHERE task_id = ?1")
            .bind(task.0)
            .bind(DispatchState::of(Some(&conditions), due_at, now).code())
            .execute(&mut *connection)
            .await
            .map_err(sql)?;
    }
    Ok(())
}

async fn find_free(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: usize,
    changes: &mut GateChanges,
) -> Result<(), Error> {
    let places =
        sqlx::query("SELECT key, key_limit FROM concurrency_keys WHERE waiting > 0 AND held < key_limit LIMIT ?1")
            .bind(signed(limit))
            .fetch_all(&mut *connection)
            .await
            .map_err(sql)?;
    for row in &places {
        let key: String = get(row, "key")?;
        let key_limit = number(row, "concurrency_keys", "key_limit", &key)?;
        changes.places.entry(key).or_insert(key_limit);
    }
    let starts = sqlx::query(
        "SELECT key, rate_limit, per_ms FROM rate_keys WHERE waiting > 0 AND opens_at <= ?1 ORDER BY opens_at LIMIT ?2",
    )
    .bind(now.as_micros())
    .bind(signed(limit))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    for row in &starts {
        let key: String = get(row, "key")?;
        let rate = Rate {
            limit: number(row, "rate_keys", "rate_limit", &key)?,
            per_ms: number(row, "rate_keys", "per_ms", &key)?,
            key: key.clone(),
        };
        changes.starts.entry(key).or_insert(rate);
    }
    Ok(())
}
