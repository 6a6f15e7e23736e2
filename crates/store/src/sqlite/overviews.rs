//! How many tasks and sagas stand at once.

use async_trait::async_trait;
use orchestratum_core::saga::SagaStatus;
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{SagaId, TaskId};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::SqliteStore;
use super::error::sql;
use super::rows::{Hex, damaged, get, id_list, json, number, signed, task_id, word};
use crate::{Error, LiveChild, LiveSagaTask, OverviewStore, SagaOverview, TaskOverview};

const TASKS: &str = "tasks";
const SAGAS: &str = "sagas";

fn saga_list(sagas: &[SagaId]) -> String {
    json(&sagas.iter().map(|saga| Hex(saga.0)).collect::<Vec<_>>())
}

fn task_status(row: &SqliteRow, task: TaskId) -> Result<TaskStatus, Error> {
    let code: i16 = number(row, TASKS, "status", task)?;
    TaskStatus::from_code(code).ok_or_else(|| damaged(TASKS, "status", task, format!("{code} is no status")))
}

fn task_overview(row: &SqliteRow) -> Result<TaskOverview, Error> {
    let task = task_id(row, "id")?;
    Ok(TaskOverview {
        task,
        name: word(row, TASKS, "name", task)?,
        target: word(row, TASKS, "target", task)?,
        status: task_status(row, task)?,
        run: number(row, TASKS, "run", task)?,
        attempt: number(row, TASKS, "attempt", task)?,
        saga: get::<Option<Uuid>>(row, "saga_id")?.map(SagaId),
        version: number(row, TASKS, "version", task)?,
    })
}

fn saga_overview(row: &SqliteRow) -> Result<SagaOverview, Error> {
    let saga = SagaId(get(row, "id")?);
    let code: i16 = number(row, SAGAS, "status", saga)?;
    let status = SagaStatus::from_code(code);
    Ok(SagaOverview {
        saga,
        definition: word(row, SAGAS, "definition", saga)?,
        correlation_id: get(row, "correlation_id")?,
        status: status.ok_or_else(|| damaged(SAGAS, "status", saga, format!("{code} is no status")))?,
        state: word(row, SAGAS, "state", saga)?,
        version: number(row, SAGAS, "version", saga)?,
    })
}

fn live_child(row: &SqliteRow) -> Result<LiveChild, Error> {
    let overview = saga_overview(row)?;
    Ok(LiveChild {
        parent: SagaId(get(row, "parent_id")?),
        number: number(row, SAGAS, "parent_number", overview.saga)?,
        overview,
    })
}

fn live_task(row: &SqliteRow) -> Result<LiveSagaTask, Error> {
    let task = task_id(row, "id")?;
    Ok(LiveSagaTask {
        saga: SagaId(get(row, "saga_id")?),
        number: number(row, TASKS, "saga_number", task)?,
        task,
        name: word(row, TASKS, "name", task)?,
        target: word(row, TASKS, "target", task)?,
        status: task_status(row, task)?,
        undoes: get(row, "saga_undoes")?,
    })
}

#[async_trait]
impl OverviewStore for SqliteStore {
    async fn task_overviews(&self, tasks: &[TaskId]) -> Result<Vec<TaskOverview>, Error> {
        let rows = sqlx::query(
            "SELECT t.id, t.name, t.target, t.status, t.run, t.attempt, t.version, t.saga_id
             FROM json_each(?1) w
             CROSS JOIN tasks t ON t.id = unhex(w.value)",
        )
        .bind(id_list(tasks.iter().copied()))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter().map(task_overview).collect()
    }

    async fn saga_overviews(&self, sagas: &[SagaId]) -> Result<Vec<SagaOverview>, Error> {
        let rows = sqlx::query(
            "SELECT s.id, s.definition, s.correlation_id, s.status, s.state, s.version
             FROM json_each(?1) w
             CROSS JOIN sagas s ON s.id = unhex(w.value)",
        )
        .bind(saga_list(sagas))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter().map(saga_overview).collect()
    }

    async fn live_saga_tasks(&self, sagas: &[SagaId], most: usize) -> Result<Vec<LiveSagaTask>, Error> {
        let rows = sqlx::query(
            "SELECT id, saga_id, saga_number, saga_undoes, name, target, status
             FROM (
                 SELECT t.id, t.saga_id, t.saga_number, t.saga_undoes, t.name, t.target, t.status,
                     row_number() OVER (PARTITION BY t.saga_id ORDER BY t.saga_number) AS turn
                 FROM json_each(?1) w
                 CROSS JOIN tasks t INDEXED BY tasks_saga ON t.saga_id = unhex(w.value)
                 WHERE t.status < 2 AND t.saga_id IS NOT NULL
             )
             WHERE turn <= ?2
             ORDER BY saga_id, saga_number",
        )
        .bind(saga_list(sagas))
        .bind(signed(most))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter().map(live_task).collect()
    }

    async fn live_children(&self, sagas: &[SagaId], most: usize) -> Result<Vec<LiveChild>, Error> {
        let rows = sqlx::query(
            "SELECT parent_id, parent_number, id, definition, correlation_id, status, state, version
             FROM (
                 SELECT s.parent_id, s.parent_number, s.id, s.definition, s.correlation_id, s.status, s.state, s.version,
                     row_number() OVER (PARTITION BY s.parent_id ORDER BY s.parent_number) AS turn
                 FROM json_each(?1) w
                 CROSS JOIN sagas s INDEXED BY sagas_parent ON s.parent_id = unhex(w.value)
                 WHERE s.status < 5 AND s.parent_id IS NOT NULL
             )
             WHERE turn <= ?2
             ORDER BY parent_id, parent_number",
        )
        .bind(saga_list(sagas))
        .bind(signed(most))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter().map(live_child).collect()
    }
}
