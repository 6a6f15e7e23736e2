//! Storing tasks.

use std::collections::HashMap;

use orchestratum_core::saga::Purpose;
use orchestratum_core::task::{TaskSpec, TaskState};
use orchestratum_core::{TaskId, Timestamp};
use sqlx::SqliteConnection;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::idempotency::{self, hash};
use super::super::rows::{get, json, milliseconds, task_id};
use super::super::values::{OverValues, Statement, over_values};
use super::{gates, unique};
use crate::decide::{self, Acceptance, DispatchRow, DispatchState, GateChanges, LifeColumns};
use crate::{Announce, CreateOutcome, CreateRequest, Error, NewTask};

pub(super) async fn create(
    store: &SqliteStore,
    requests: &[CreateRequest],
    now: Timestamp,
) -> Result<Vec<CreateOutcome>, Error> {
    let mut transaction = store.begin().await?;
    let keys = idempotency::kept(&mut transaction, &decide::keys(requests)).await?;
    let existing = existing(&mut transaction, requests).await?;
    let Acceptance { mut outcomes, accepted } = decide::create(requests, keys, existing);
    let mut tasks: Vec<&NewTask> = accepted.iter().flat_map(|request| &request.tasks).collect();
    if !accepted.is_empty() {
        let met = unique::meet(&mut transaction, &tasks, now).await?;
        tasks.retain(|task| !met.contains_key(&task.spec.id));
        insert_new(&mut transaction, &tasks, now).await?;
        idempotency::keep(&mut transaction, decide::keys_of(&accepted, &met), now).await?;
        let mut gates = GateChanges::default();
        gates.created(tasks, now);
        let publish_at = DispatchRow::publish_at(now, true, now);
        let ready = gates::settle(&mut transaction, &gates, publish_at, now).await?;
        decide::admitted(requests, &mut outcomes, &met, ready);
    }
    transaction.commit().await.map_err(sql)?;
    Ok(outcomes)
}

async fn existing(
    connection: &mut SqliteConnection,
    requests: &[CreateRequest],
) -> Result<HashMap<TaskId, Option<[u8; 32]>>, Error> {
    static EXISTING: OverValues = over_values!(
        "WITH wanted (id) AS (VALUES ",
        "(?)",
        ") SELECT t.id, t.request_hash FROM wanted w CROSS JOIN tasks t ON t.id = w.id"
    );
    let ids: Vec<TaskId> = requests
        .iter()
        .flat_map(|request| &request.tasks)
        .map(|task| task.spec.id)
        .collect();
    let rows = EXISTING
        .fetch(
            connection,
            &ids,
            |statement| statement,
            |statement, id| statement.bind(id.0),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let id = task_id(row, "id")?;
            let request_hash = get::<Option<&[u8]>>(row, "request_hash")?
                .map(|bytes| hash(bytes, "tasks", "request_hash", &id.to_string()))
                .transpose()?;
            Ok((id, request_hash))
        })
        .collect()
}

/// Tasks and their dispatch rows.
pub(in super::super) async fn insert_new(
    connection: &mut SqliteConnection,
    tasks: &[&NewTask],
    now: Timestamp,
) -> Result<(), Error> {
    insert_tasks(connection, tasks).await?;
    let dispatches: Vec<DispatchRow> = tasks.iter().filter_map(|task| dispatch(task, now)).collect();
    insert_dispatches(connection, &dispatches).await
}

/// Inserts rows of tasks, with columns behind those that all have.
macro_rules! into_tasks {
    ($row:literal, $more:literal) => {
        over_values!(
            "WITH new AS (VALUES ",
            $row,
            concat!(
                ")
                 INSERT INTO tasks (
                     id, name, target, description, input, labels, limits, backoff, ttl_ms, timeout_ms, max_retries, max_losses,
                     priority, parent_id, request_hash, trace_parent, request_id, created_at, scheduled_at, expires_at, status,
                     run, attempt, version, retries_left, losses_left, cancel_requested, worker_id, started_at, finished_at,
                     error, follow_ups, parent_run, edge, ordinal, conditions, group_id, group_index",
                $more,
                ")
                 SELECT * FROM new WHERE column1 IS NOT NULL"
            )
        )
    };
}

async fn insert_tasks(connection: &mut SqliteConnection, tasks: &[&NewTask]) -> Result<(), Error> {
    static INSERT: OverValues = into_tasks!(
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ""
    );
    static INSERT_SCHEDULED: OverValues = into_tasks!(
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ", schedule_id, slot"
    );
    static INSERT_OF_SAGAS: OverValues = into_tasks!(
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ", saga_id, saga_number, saga_undoes"
    );
    if tasks.iter().any(|task| task.spec.saga.is_some()) {
        return INSERT_OF_SAGAS
            .execute(connection, tasks, |statement, task| {
                let place = task.spec.saga;
                bind_task(statement, task)
                    .bind(place.map(|place| place.saga.0))
                    .bind(place.map(|place| place.number))
                    .bind(place.map(|place| place.purpose == Purpose::Compensation))
            })
            .await;
    }
    if tasks.iter().all(|task| task.spec.scheduled_by.is_none()) {
        return INSERT
            .execute(connection, tasks, |statement, task| bind_task(statement, task))
            .await;
    }
    INSERT_SCHEDULED
        .execute(connection, tasks, |statement, task| {
            let by = task.spec.scheduled_by;
            bind_task(statement, task)
                .bind(by.map(|by| by.schedule.0))
                .bind(by.and_then(|by| by.slot).map(Timestamp::as_micros))
        })
        .await
}

fn bind_task<'q>(statement: Statement<'q>, task: &NewTask) -> Statement<'q> {
    let TaskSpec {
        id,
        name,
        target,
        description,
        input,
        labels,
        priority,
        ttl,
        timeout,
        policy,
        limits,
        parent_id,
        place,
        // Bound behind the others, where there are such.
        scheduled_by: _,
        saga: _,
        follow_ups,
        conditions,
        group,
        created_at,
    } = &task.spec;
    let life = LifeColumns::encode(&task.life, None, None);
    statement
        .bind(id.0)
        .bind(name.as_str().to_owned())
        .bind(target.as_str().to_owned())
        .bind(description.clone())
        .bind(input.as_str().to_owned())
        .bind((!labels.is_empty()).then(|| json(labels)))
        .bind(limits.as_ref().map(|limits| limits.as_str().to_owned()))
        .bind(json(&policy.backoff))
        .bind(milliseconds(*ttl))
        .bind(timeout.map(milliseconds))
        .bind(policy.max_retries)
        .bind(policy.max_losses)
        .bind(priority)
        .bind(parent_id.map(|id| id.0))
        .bind(task.request_hash.map(Vec::from))
        .bind(task.origin.trace_parent.as_ref().map(|trace| trace.as_str().to_owned()))
        .bind(
            task.origin
                .request_id
                .as_ref()
                .map(|request| request.as_str().to_owned()),
        )
        .bind(created_at.as_micros())
        .bind(life.scheduled_at.as_micros())
        .bind(life.expires_at.as_micros())
        .bind(life.status)
        .bind(life.run)
        .bind(life.attempt)
        .bind(life.version)
        .bind(life.retries_left)
        .bind(life.losses_left)
        .bind(life.cancel_requested)
        .bind(life.worker.map(|id| id.0))
        .bind(life.started_at.map(Timestamp::as_micros))
        .bind(life.finished_at.map(Timestamp::as_micros))
        .bind(life.error)
        .bind(follow_ups.stored())
        .bind(place.map(|place| place.run))
        .bind(place.map(|place| place.edge.code()))
        .bind(place.map(|place| place.index))
        .bind(conditions.as_ref().map(|conditions| conditions.stored()))
        .bind(group.map(|place| place.group.0))
        .bind(group.map(|place| place.index))
}

fn dispatch(task: &NewTask, now: Timestamp) -> Option<DispatchRow> {
    let TaskState::Pending { due_at } = task.life.state else {
        return None;
    };
    Some(DispatchRow {
        task: task.spec.id,
        target: task.spec.target.clone(),
        name: task.spec.name.clone(),
        priority: task.spec.priority,
        due_at,
        expires_at: task.life.expires_at,
        publish_at: DispatchRow::publish_at(due_at, task.announce == Announce::ByCaller, now),
        state: DispatchState::of(task.spec.conditions.as_deref(), due_at, now),
    })
}

/// Writes dispatch rows, new ones and changed ones.
pub(super) async fn insert_dispatches(connection: &mut SqliteConnection, rows: &[DispatchRow]) -> Result<(), Error> {
    static INSERT: OverValues = over_values!(
        "WITH new AS (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?)",
        ")
         INSERT OR REPLACE INTO dispatches (
             task_id, target, name, priority, due_at, expires_at, publish_at, state
         )
         SELECT * FROM new WHERE column1 IS NOT NULL"
    );
    INSERT
        .execute(connection, rows, |statement, row| {
            statement
                .bind(row.task.0)
                .bind(row.target.as_str().to_owned())
                .bind(row.name.as_str().to_owned())
                .bind(row.priority)
                .bind(row.due_at.as_micros())
                .bind(row.expires_at.as_micros())
                .bind(row.publish_at.as_micros())
                .bind(row.state.code())
        })
        .await
}
