//! How many tasks and sagas stand at once.

use async_trait::async_trait;
use orchestratum_core::saga::{DefinitionName, SagaStatus, StateName};
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{SagaId, Target, TaskId, TaskName};
use sqlx::FromRow;
use uuid::Uuid;

use super::PostgresStore;
use super::database::AfterUnknown;
use super::rows::{Place, int8};
use crate::{Error, LiveChild, LiveSagaTask, OverviewStore, SagaOverview, TaskOverview};

#[derive(Debug, FromRow)]
struct TaskRow {
    id: Uuid,
    name: String,
    target: String,
    status: i16,
    run: i32,
    attempt: i32,
    version: i32,
    saga_id: Option<Uuid>,
}

#[derive(Debug, FromRow)]
struct SagaRow {
    id: Uuid,
    definition: String,
    correlation_id: String,
    status: i16,
    state: String,
    version: i64,
}

#[derive(Debug, FromRow)]
struct LiveRow {
    id: Uuid,
    saga_id: Uuid,
    saga_number: i32,
    saga_undoes: bool,
    name: String,
    target: String,
    status: i16,
}

#[derive(Debug, FromRow)]
struct ChildRow {
    parent_id: Uuid,
    parent_number: i32,
    #[sqlx(flatten)]
    saga: SagaRow,
}

impl TaskRow {
    fn into_overview(self) -> Result<TaskOverview, Error> {
        let place = Place {
            table: "tasks",
            row: &self.id,
        };
        Ok(TaskOverview {
            task: TaskId(self.id),
            name: place.take("name", TaskName::new(self.name))?,
            target: place.take("target", Target::new(self.target))?,
            status: place.present("status", TaskStatus::from_code(self.status))?,
            run: place.number("run", self.run)?,
            attempt: place.number("attempt", self.attempt)?,
            saga: self.saga_id.map(SagaId),
            version: place.number("version", self.version)?,
        })
    }
}

impl SagaRow {
    fn into_overview(self) -> Result<SagaOverview, Error> {
        let place = Place {
            table: "sagas",
            row: &self.id,
        };
        Ok(SagaOverview {
            saga: SagaId(self.id),
            definition: place.take("definition", DefinitionName::new(self.definition))?,
            correlation_id: self.correlation_id,
            status: place.present("status", SagaStatus::from_code(self.status))?,
            state: place.take("state", StateName::new(self.state))?,
            version: place.number("version", self.version)?,
        })
    }
}

impl ChildRow {
    fn into_child(self) -> Result<LiveChild, Error> {
        let place = Place {
            table: "sagas",
            row: &self.saga.id,
        };
        Ok(LiveChild {
            parent: SagaId(self.parent_id),
            number: place.number("parent_number", self.parent_number)?,
            overview: self.saga.into_overview()?,
        })
    }
}

impl LiveRow {
    fn into_task(self) -> Result<LiveSagaTask, Error> {
        let place = Place {
            table: "tasks",
            row: &self.id,
        };
        Ok(LiveSagaTask {
            saga: SagaId(self.saga_id),
            number: place.number("saga_number", self.saga_number)?,
            task: TaskId(self.id),
            name: place.take("name", TaskName::new(self.name))?,
            target: place.take("target", Target::new(self.target))?,
            status: place.present("status", TaskStatus::from_code(self.status))?,
            undoes: self.saga_undoes,
        })
    }
}

fn uuids(sagas: &[SagaId]) -> Vec<Uuid> {
    sagas.iter().map(|saga| saga.0).collect()
}

#[async_trait]
impl OverviewStore for PostgresStore {
    async fn task_overviews(&self, tasks: &[TaskId]) -> Result<Vec<TaskOverview>, Error> {
        let ids: Vec<Uuid> = tasks.iter().map(|task| task.0).collect();
        let rows: Vec<TaskRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "SELECT id, name, target, status, run, attempt, version, saga_id
                    FROM tasks
                    WHERE id = ANY($1::uuid[])",
                )
                .bind(&ids)
            })
            .await?;
        rows.into_iter().map(TaskRow::into_overview).collect()
    }

    async fn saga_overviews(&self, sagas: &[SagaId]) -> Result<Vec<SagaOverview>, Error> {
        let ids = uuids(sagas);
        let rows: Vec<SagaRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "SELECT id, definition, correlation_id, status, state, version
                    FROM sagas
                    WHERE id = ANY($1::uuid[])",
                )
                .bind(&ids)
            })
            .await?;
        rows.into_iter().map(SagaRow::into_overview).collect()
    }

    async fn live_saga_tasks(&self, sagas: &[SagaId], most: usize) -> Result<Vec<LiveSagaTask>, Error> {
        let ids = uuids(sagas);
        let rows: Vec<LiveRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "SELECT live.id, live.saga_id, live.saga_number, live.saga_undoes, live.name, live.target, live.status
                    FROM UNNEST($1::uuid[]) AS asked (id)
                    CROSS JOIN LATERAL (
                        SELECT *
                        FROM tasks
                        WHERE tasks.saga_id = asked.id AND tasks.status < 2
                        ORDER BY tasks.saga_number
                        LIMIT $2
                    ) AS live
                    ORDER BY live.saga_id, live.saga_number",
                )
                .bind(&ids)
                .bind(int8(most))
            })
            .await?;
        rows.into_iter().map(LiveRow::into_task).collect()
    }

    async fn live_children(&self, sagas: &[SagaId], most: usize) -> Result<Vec<LiveChild>, Error> {
        let ids = uuids(sagas);
        let rows: Vec<ChildRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(
                    "SELECT live.parent_id, live.parent_number, live.id, live.definition, live.correlation_id, live.status,
                        live.state, live.version
                    FROM UNNEST($1::uuid[]) AS asked (id)
                    CROSS JOIN LATERAL (
                        SELECT *
                        FROM sagas
                        WHERE sagas.parent_id = asked.id AND sagas.status < 5
                        ORDER BY sagas.parent_number
                        LIMIT $2
                    ) AS live
                    ORDER BY live.parent_id, live.parent_number",
                )
                .bind(&ids)
                .bind(int8(most))
            })
            .await?;
        rows.into_iter().map(ChildRow::into_child).collect()
    }
}
