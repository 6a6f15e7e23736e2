//! Writing what looks at sagas have decided: the sagas, their history, their timers and tasks, and what reaches others.

use std::collections::HashMap;

use orchestratum_core::task::SpecLimits;
use orchestratum_core::{RequestId, SagaId, Timestamp, TraceParent};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{signed, task_id};
use super::super::tasks::{apply_any, insert_asking, meet};
use super::super::values::{OverValues, over_values};
use super::definitions;
use super::events::write_events;
use super::row::saga_id;
use super::task_ends::{insert_task_ends, insert_waiting};
use super::timers::write_timers;
use crate::decide::{self, Cancelled, ChildRow, Folded, WaitingEvent};
use crate::{Change, Consequences, Error, NewTask};

/// Whether the rows of the sagas are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    New,
    Changed,
}

pub(super) async fn write(
    connection: &mut SqliteConnection,
    folded: &[Folded],
    rows: Rows,
    store: &SqliteStore,
    now: Timestamp,
) -> Result<Consequences, Error> {
    let mut consequences = Consequences::default();
    if folded.iter().all(|saga| saga.events.is_empty()) {
        return Ok(consequences);
    }
    let earlier = decide::cancelled_tasks(folded, Cancelled::Earlier);
    cancel_tasks(connection, &earlier, &store.limits, now, &mut consequences).await?;
    match rows {
        Rows::New => insert_sagas(connection, folded).await?,
        Rows::Changed => update_sagas(connection, folded).await?,
    }
    write_events(connection, folded, now).await?;
    write_timers(connection, folded).await?;
    issue(connection, folded, now, &mut consequences).await?;
    let just_made = decide::cancelled_tasks(folded, Cancelled::Now);
    cancel_tasks(connection, &just_made, &store.limits, now, &mut consequences).await?;
    // One that is cancelled by the look that makes it never begins.
    let mut waiting = start_children(connection, folded, now).await?;
    waiting.extend(cancelled_children(connection, folded).await?);
    waiting.extend(decide::told_parents(folded));
    insert_waiting(connection, &waiting, now).await?;
    consequences
        .unlooked
        .extend(waiting.into_iter().map(|event| event.saga));
    consequences.next_timer = folded.iter().flat_map(|saga| &saga.timers).map(|timer| timer.at).min();
    Ok(consequences)
}

async fn cancel_tasks(
    connection: &mut SqliteConnection,
    numbers: &[(SagaId, u32)],
    limits: &SpecLimits,
    now: Timestamp,
    consequences: &mut Consequences,
) -> Result<(), Error> {
    static LIVE: OverValues = over_values!(
        "WITH cancelled (saga_id, saga_number) AS (VALUES ",
        "(?, ?)",
        ")
         SELECT t.id
         FROM cancelled c
         CROSS JOIN tasks t INDEXED BY tasks_saga ON t.saga_id = c.saga_id AND t.saga_number = c.saga_number
         WHERE t.saga_id IS NOT NULL AND t.status < 2"
    );
    let rows = of_numbers(connection, &LIVE, numbers).await?;
    let changes: Vec<Change> = rows
        .iter()
        .map(|row| task_id(row, "id").map(decide::cancel))
        .collect::<Result<_, _>>()?;
    consequences.cancelled(apply_any(connection, &changes, limits, now).await?);
    Ok(())
}

/// What a statement finds of tasks or child sagas, by the numbers that their sagas gave them.
async fn of_numbers(
    connection: &mut SqliteConnection,
    statement: &OverValues,
    numbers: &[(SagaId, u32)],
) -> Result<Vec<SqliteRow>, Error> {
    statement
        .fetch(
            connection,
            numbers,
            |statement| statement,
            |statement, (saga, number)| statement.bind(saga.0).bind(*number),
        )
        .await
}

/// The tasks, and what becomes of those that cannot be made.
async fn issue(
    connection: &mut SqliteConnection,
    folded: &[Folded],
    now: Timestamp,
    consequences: &mut Consequences,
) -> Result<(), Error> {
    let tasks: Vec<&NewTask> = folded.iter().flat_map(|saga| &saga.tasks).collect();
    let met = meet(connection, &tasks, now).await?;
    let (tasks, unmade) = decide::issued(folded, &met);
    if !tasks.is_empty() {
        let admitted = insert_asking(connection, &tasks, now).await?;
        consequences.issued(&tasks, &HashMap::new(), admitted, now);
    }
    insert_task_ends(connection, &unmade, now).await?;
    consequences.unlooked.extend(unmade.iter().map(|end| end.place.saga));
    Ok(())
}

/// What the children are told that are to end.
async fn cancelled_children(connection: &mut SqliteConnection, folded: &[Folded]) -> Result<Vec<WaitingEvent>, Error> {
    static CHILDREN: OverValues = over_values!(
        "WITH cancelled (saga_id, number) AS (VALUES ",
        "(?, ?)",
        ")
         SELECT s.id
         FROM cancelled c
         CROSS JOIN sagas s INDEXED BY sagas_parent ON s.parent_id = c.saga_id AND s.parent_number = c.number
         WHERE s.parent_id IS NOT NULL AND s.status < 5"
    );
    let rows = of_numbers(connection, &CHILDREN, &decide::cancelled(folded)).await?;
    rows.iter()
        .map(|row| saga_id(row, "id").map(WaitingEvent::cancel))
        .collect()
}

/// The child sagas, and what they and those are told that wait for them.
async fn start_children(
    connection: &mut SqliteConnection,
    folded: &[Folded],
    now: Timestamp,
) -> Result<Vec<WaitingEvent>, Error> {
    let beginnings = definitions::beginnings(connection, &decide::definitions_of_children(folded)).await?;
    let (children, mut told) = decide::children(folded, &beginnings);
    for child in children {
        let is_new = insert_child(connection, &child, now).await?;
        told.push(child.inserted(is_new));
    }
    Ok(told)
}

/// Whether there was none of its definition and correlation id.
async fn insert_child(connection: &mut SqliteConnection, row: &ChildRow<'_>, now: Timestamp) -> Result<bool, Error> {
    let origin = &row.parent.head.origin;
    let inserted = sqlx::query(
        "INSERT INTO sagas (
             id, definition, definition_version, correlation_id, input, parent_id, parent_number, depth, trace_parent, request_id,
             created_at, status, state, version, last_seq, instance, updated_at
         )
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?14, ?8, ?9, ?10, ?11, ?12, 0, 0, ?13, ?10)
         ON CONFLICT (correlation_id, definition) DO NOTHING",
    )
    .bind(row.id().0)
    .bind(row.child.definition.as_str())
    .bind(row.definition_version)
    .bind(&row.child.correlation_id)
    .bind(row.child.input.as_str())
    .bind(row.parent.head.id.0)
    .bind(row.child.number)
    .bind(origin.trace_parent.as_ref().map(TraceParent::as_str))
    .bind(origin.request_id.as_ref().map(RequestId::as_str))
    .bind(now.as_micros())
    .bind(row.instance.status().code())
    .bind(row.instance.state.as_str())
    .bind(row.instance.to_stored().as_str())
    .bind(row.depth)
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(inserted.rows_affected() > 0)
}

async fn insert_sagas(connection: &mut SqliteConnection, folded: &[Folded]) -> Result<(), Error> {
    static INSERT: OverValues = over_values!(
        "WITH new AS (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ")
         INSERT INTO sagas (
             id, definition, definition_version, correlation_id, input, trace_parent, request_id, created_at, status, state,
             version, last_seq, refusals, instance, updated_at, finished_at
         )
         SELECT * FROM new WHERE column1 IS NOT NULL"
    );
    INSERT
        .execute(connection, folded, |statement, saga| {
            let (head, instance) = (&saga.head, &saga.instance);
            let origin = &head.origin;
            statement
                .bind(head.id.0)
                .bind(head.definition.as_str().to_owned())
                .bind(head.definition_version)
                .bind(instance.correlation_id.clone())
                .bind(instance.input.as_str().to_owned())
                .bind(origin.trace_parent.as_ref().map(|trace| trace.as_str().to_owned()))
                .bind(origin.request_id.as_ref().map(|request| request.as_str().to_owned()))
                .bind(head.created_at.as_micros())
                .bind(instance.status().code())
                .bind(instance.state.as_str().to_owned())
                .bind(signed(instance.version))
                .bind(signed(head.last_seq))
                .bind(head.refusals)
                .bind(instance.to_stored().as_str().to_owned())
                .bind(head.updated_at.as_micros())
                .bind(head.finished_at.map(Timestamp::as_micros))
        })
        .await
}

async fn update_sagas(connection: &mut SqliteConnection, folded: &[Folded]) -> Result<(), Error> {
    static UPDATE: OverValues = over_values!(
        "WITH next (id, status, state, version, last_seq, refusals, instance, updated_at, finished_at) AS (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ")
         UPDATE sagas
         SET status = n.status,
             state = n.state,
             version = n.version,
             last_seq = n.last_seq,
             refusals = n.refusals,
             instance = n.instance,
             updated_at = n.updated_at,
             finished_at = n.finished_at
         FROM next n
         WHERE sagas.id = n.id"
    );
    UPDATE
        .execute(connection, folded, |statement, saga| {
            let (head, instance) = (&saga.head, &saga.instance);
            statement
                .bind(head.id.0)
                .bind(instance.status().code())
                .bind(instance.state.as_str().to_owned())
                .bind(signed(instance.version))
                .bind(signed(head.last_seq))
                .bind(head.refusals)
                .bind(instance.to_stored().as_str().to_owned())
                .bind(head.updated_at.as_micros())
                .bind(head.finished_at.map(Timestamp::as_micros))
        })
        .await
}
