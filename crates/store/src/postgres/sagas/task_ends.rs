//! The ends of tasks of sagas, as rows that wait to be looked at.

use std::collections::HashSet;

use orchestratum_core::{TaskId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::rows::{int4, time};
use super::super::tasks::column;
use super::super::transaction::Abort;
use crate::decide::{self, SagaTaskEnd, WaitingEvent};

pub(in super::super) async fn insert_task_ends(
    connection: &mut PgConnection,
    ends: &[SagaTaskEnd],
    now: Timestamp,
) -> Result<(), Abort> {
    let in_doubt = in_doubt(connection, &decide::doubted(ends)).await?;
    let ends = decide::without_doubt(ends, &in_doubt);
    let events: Vec<WaitingEvent> = ends.iter().map(WaitingEvent::from).collect();
    insert_waiting(connection, &events, now).await
}

/// Those of these tasks that may have done something in one of their attempts.
async fn in_doubt(connection: &mut PgConnection, tasks: &[TaskId]) -> Result<HashSet<TaskId>, Abort> {
    if tasks.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<(Uuid,)> = sqlx::query_as(
        "SELECT DISTINCT task_id FROM attempts WHERE task_id = ANY($1::uuid[]) AND outcome = ANY($2::smallint[])",
    )
    .bind(column(tasks, |task| task.0))
    .bind(decide::doubtful_outcomes())
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(task,)| TaskId(task)).collect())
}

/// Rows that wait to be looked at.
pub(super) async fn insert_waiting(
    connection: &mut PgConnection,
    events: &[WaitingEvent],
    now: Timestamp,
) -> Result<(), Abort> {
    sqlx::query(
        "INSERT INTO saga_events (
            saga_id, kind, number, timer, entry, event_id, name, data, error, may_have_run, received_at
        )
        SELECT *, $11
        FROM UNNEST(
            $1::uuid[], $2::smallint[], $3::integer[], $4::smallint[], $5::integer[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::boolean[]
        )",
    )
    .bind(column(events, |event| event.saga.0))
    .bind(column(events, |event| event.columns.kind))
    .bind(column(events, |event| event.columns.number.map(int4)))
    .bind(column(events, |event| event.columns.timer))
    .bind(column(events, |event| event.columns.entry.map(int4)))
    .bind(column(events, |event| event.columns.event_id.as_deref()))
    .bind(column(events, |event| event.columns.name.as_deref()))
    .bind(column(events, |event| event.columns.data.as_deref()))
    .bind(column(events, |event| event.columns.error.as_deref()))
    .bind(column(events, |event| event.columns.may_have_run))
    .bind(time(now))
    .execute(connection)
    .await?;
    Ok(())
}
