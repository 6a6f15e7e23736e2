//! What reaches sagas without a caller, as rows that wait to be looked at.

use std::collections::HashSet;

use orchestratum_core::{TaskId, Timestamp};
use sqlx::SqliteConnection;

use super::super::error::sql;
use super::super::rows::{id_list, json, task_id};
use super::super::values::{OverValues, over_values};
use crate::Error;
use crate::decide::{self, SagaTaskEnd, WaitingEvent};

/// The ends of tasks of sagas.
pub(in super::super) async fn insert_task_ends(
    connection: &mut SqliteConnection,
    ends: &[SagaTaskEnd],
    now: Timestamp,
) -> Result<(), Error> {
    let in_doubt = in_doubt(connection, &decide::doubted(ends)).await?;
    let ends = decide::without_doubt(ends, &in_doubt);
    let events: Vec<WaitingEvent> = ends.iter().map(WaitingEvent::from).collect();
    insert_waiting(connection, &events, now).await
}

/// Those of these tasks that may have done something in one of their attempts.
async fn in_doubt(connection: &mut SqliteConnection, tasks: &[TaskId]) -> Result<HashSet<TaskId>, Error> {
    if tasks.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = sqlx::query(
        "SELECT DISTINCT a.task_id
         FROM json_each(?1) t
         CROSS JOIN attempts a ON a.task_id = unhex(t.value)
         WHERE a.outcome IN (SELECT value FROM json_each(?2))",
    )
    .bind(id_list(tasks.iter().copied()))
    .bind(json(&decide::doubtful_outcomes()))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    rows.iter().map(|row| task_id(row, "task_id")).collect()
}

pub(super) async fn insert_waiting(
    connection: &mut SqliteConnection,
    events: &[WaitingEvent],
    now: Timestamp,
) -> Result<(), Error> {
    static INSERT: OverValues = over_values!(
        "WITH new AS (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ")
         INSERT INTO saga_events (
             saga_id, kind, number, timer, entry, event_id, name, data, error, may_have_run, received_at
         )
         SELECT * FROM new WHERE column1 IS NOT NULL"
    );
    INSERT
        .execute(connection, events, |statement, event| {
            let columns = &event.columns;
            statement
                .bind(event.saga.0)
                .bind(columns.kind)
                .bind(columns.number)
                .bind(columns.timer)
                .bind(columns.entry)
                .bind(columns.event_id.clone())
                .bind(columns.name.clone())
                .bind(columns.data.clone())
                .bind(columns.error.clone())
                .bind(columns.may_have_run)
                .bind(now.as_micros())
        })
        .await
}
