//! Handing ready tasks to a worker.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use orchestratum_core::{JsonText, Origin, Target, TaskId, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::queues::bucket;
use super::super::rows::{damaged, get, id_list, json, maybe_word, number, signed, task_id, timestamp, word};
use super::super::values::{OverValues, over_values};
use crate::{ClaimRequest, ClaimedTask, Error, FollowedBy};

pub(super) async fn claim(
    store: &SqliteStore,
    request: &ClaimRequest,
    now: Timestamp,
) -> Result<Vec<ClaimedTask>, Error> {
    if request.limit == 0 || request.targets.is_empty() || request.names.is_empty() {
        return Ok(Vec::new());
    }
    let rated = rated(store, request, now).await?;
    let mut transaction = store.begin().await?;
    let mut ids = Vec::new();
    // First: they take only what their rate allows, and would otherwise wait behind any backlog of the others.
    for target in rated {
        ids.extend(take_rated(&mut transaction, request, target, request.limit - ids.len(), now).await?);
    }
    let rest = ClaimRequest {
        limit: request.limit - ids.len(),
        ..request.clone()
    };
    if rest.limit > 0 {
        ids.extend(take_dispatches(&mut transaction, &rest, false, now).await?);
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let claimed = start(&mut transaction, request, &ids, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(claimed)
}

/// The targets of the request that have a rate, as far as that is known.
async fn rated(store: &SqliteStore, request: &ClaimRequest, now: Timestamp) -> Result<Vec<Target>, Error> {
    if let Some(rated) = store.rated.of(&request.targets, now) {
        return Ok(rated);
    }
    let rows = sqlx::query("SELECT target FROM target_rates")
        .fetch_all(&store.read)
        .await
        .map_err(sql)?;
    let targets = rows.iter().map(|row| word(row, "target_rates", "target", "(rate)"));
    store.rated.set(targets.collect::<Result<_, Error>>()?, now);
    Ok(store.rated.of(&request.targets, now).unwrap_or_default())
}

/// Those of one target with a rate, which take their starts.
pub(in super::super) async fn take_rated(
    connection: &mut SqliteConnection,
    request: &ClaimRequest,
    target: Target,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<TaskId>, Error> {
    let row = sqlx::query("SELECT target, rate_limit, per_ms, burst, spent_until FROM target_rates WHERE target = ?1")
        .bind(target.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(sql)?;
    // It has none any more: the plain claim takes its tasks.
    let Some(row) = row else { return Ok(Vec::new()) };
    let (_, bucket) = bucket(&row)?;
    let limit = limit.min(usize::try_from(bucket.available(now)).unwrap_or(usize::MAX));
    if limit == 0 {
        return Ok(Vec::new());
    }
    let of_target = ClaimRequest {
        targets: vec![target.clone()],
        limit,
        ..request.clone()
    };
    let ids = take_dispatches(connection, &of_target, true, now).await?;
    let taken = bucket.after(u32::try_from(ids.len()).unwrap_or(u32::MAX), now);
    if !ids.is_empty() {
        sqlx::query("UPDATE target_rates SET spent_until = ?2 WHERE target = ?1")
            .bind(target.as_str())
            .bind(taken.spent_until.as_micros())
            .execute(connection)
            .await
            .map_err(sql)?;
    }
    Ok(ids)
}

/// `?8` is whether targets with a rate are among those that are looked at.
const TAKE: &str = "WITH
         served AS MATERIALIZED (
             SELECT w.value AS target
             FROM json_each(?2) w
             WHERE w.value NOT IN (SELECT target FROM paused_targets)
               -- Those are claimed with their starts.
               AND (?8 OR w.value NOT IN (SELECT target FROM target_rates))
               AND EXISTS (SELECT 1 FROM workers WHERE id = ?4 AND state = 0 AND lease_expires_at > ?5)
         ),
         named AS MATERIALIZED (
             SELECT d.task_id
             FROM dispatches d
             WHERE d.task_id IN (SELECT unhex(value) FROM json_each(?1))
               AND d.state = 0
               AND d.due_at <= ?5
               AND d.expires_at > ?5
               AND d.target IN (SELECT target FROM served)
               AND d.name IN (SELECT value FROM json_each(?3))
             ORDER BY d.priority DESC, d.due_at, d.task_id
             LIMIT ?6
         ),
         -- As many of each target and name as fit, in their order: the index gives that without looking at the backlog of
         -- what others do.
         more AS MATERIALIZED (
             SELECT d.task_id
             FROM (SELECT target FROM served WHERE ?7) s
             CROSS JOIN (SELECT DISTINCT value AS name FROM json_each(?3)) o
             CROSS JOIN dispatches d ON d.task_id IN (
                 SELECT r.task_id
                 FROM dispatches r INDEXED BY dispatches_ready
                 WHERE r.target = s.target
                   AND r.name = o.name
                   AND r.state = 0
                   AND r.due_at <= ?5
                   AND r.expires_at > ?5
                   AND r.task_id NOT IN (SELECT task_id FROM named)
                 ORDER BY r.priority DESC, r.due_at, r.task_id
                 LIMIT ?6
             )
             ORDER BY d.priority DESC, d.due_at, d.task_id
             LIMIT ?6 - (SELECT count(*) FROM named)
         )
         DELETE FROM dispatches
         WHERE task_id IN (SELECT task_id FROM named UNION ALL SELECT task_id FROM more)
         RETURNING task_id, priority, due_at";

/// Deletes the dispatch rows that are claimed, under every guard, and returns their tasks in the order they go.
pub(in super::super) async fn take_dispatches(
    connection: &mut SqliteConnection,
    request: &ClaimRequest,
    with_rate: bool,
    now: Timestamp,
) -> Result<Vec<TaskId>, Error> {
    let rows = sqlx::query(TAKE)
        .bind(id_list(request.named.iter().copied()))
        .bind(json(&request.targets))
        .bind(json(&request.names))
        .bind(request.worker.0)
        .bind(now.as_micros())
        .bind(signed(request.limit))
        .bind(request.fill_up)
        .bind(with_rate)
        .fetch_all(connection)
        .await
        .map_err(sql)?;
    let named: HashSet<TaskId> = request.named.iter().copied().collect();
    let mut taken = rows
        .iter()
        .map(|row| {
            let id = task_id(row, "task_id")?;
            let place = u8::from(!named.contains(&id));
            let priority: i64 = get(row, "priority")?;
            let due_at: i64 = get(row, "due_at")?;
            Ok((place, std::cmp::Reverse(priority), due_at, id))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    taken.sort_unstable();
    Ok(taken.into_iter().map(|(_, _, _, id)| id).collect())
}

pub(in super::super) async fn start(
    connection: &mut SqliteConnection,
    request: &ClaimRequest,
    ids: &[TaskId],
    now: Timestamp,
) -> Result<Vec<ClaimedTask>, Error> {
    static START: OverValues = over_values!(
        "UPDATE tasks
         SET status = 1,
             attempt = attempt + 1,
             version = version + 1,
             worker_id = ?,
             started_at = ?,
             cancel_requested = 0,
             progress = NULL
         WHERE status = 0
           AND id IN (VALUES ",
        "(?)",
        ")
         RETURNING
             id, attempt, run, name, target, input, limits, timeout_ms, expires_at, trace_parent, request_id,
             follow_ups IS NOT NULL AS followed, CASE WHEN saga_id IS NOT NULL THEN priority END AS saga_priority"
    );
    let rows = START
        .fetch(
            connection,
            ids,
            |statement| statement.bind(request.worker.0).bind(now.as_micros()),
            |statement, id| statement.bind(id.0),
        )
        .await?;
    let mut claimed = rows
        .iter()
        .map(|row| claimed_task(row, now).map(|task| (task.id, task)))
        .collect::<Result<HashMap<_, _>, Error>>()?;
    // A dispatch row without a pending task breaks an invariant: the transaction is rolled back for a person to see.
    ids.iter()
        .map(|id| {
            claimed
                .remove(id)
                .ok_or_else(|| damaged("dispatches", "task_id", id, "its task is not pending"))
        })
        .collect()
}

pub(in super::super) fn claimed_task(row: &SqliteRow, now: Timestamp) -> Result<ClaimedTask, Error> {
    let id = task_id(row, "id")?;
    let timeout: Option<i64> = get(row, "timeout_ms")?;
    Ok(ClaimedTask {
        id,
        attempt: number(row, "tasks", "attempt", id)?,
        run: number(row, "tasks", "run", id)?,
        name: word(row, "tasks", "name", id)?,
        target: word(row, "tasks", "target", id)?,
        input: JsonText::trusted(get::<String>(row, "input")?),
        limits: get::<Option<String>>(row, "limits")?.map(JsonText::trusted),
        timeout: timeout
            .map(|_| number(row, "tasks", "timeout_ms", id))
            .transpose()?
            .map(Duration::from_millis),
        expires_at: timestamp(row, "expires_at")?,
        started_at: now,
        origin: Origin {
            trace_parent: maybe_word(row, "tasks", "trace_parent", id)?,
            request_id: maybe_word(row, "tasks", "request_id", id)?,
        },
        followed_by: FollowedBy::of(get(row, "followed")?, get(row, "saga_priority")?),
        known: None,
    })
}
