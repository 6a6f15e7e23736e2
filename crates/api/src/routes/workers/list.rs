//! `GET /api/workers`

use axum::Json;
use axum::extract::State;
use orchestratum_core::Timestamp;
use orchestratum_engine::Engine;
use orchestratum_store::{Worker, WorkerState};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::Parameters;
use crate::problem::Result;
use crate::routes::schema;

/// One life of a worker: of a process, or of an external one from its first claim until it is silent for long.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub(crate) struct WorkerDocument {
    id: Uuid,
    /// A label; several workers may share it.
    name: String,
    /// `Live`, `Dead` (its lease ran out) or `Left` (it went by itself).
    #[schema(example = "Live")]
    state: &'static str,
    targets: Vec<String>,
    /// The task names it offers.
    names: Vec<String>,
    capacity: u32,
    running: u64,
    /// How code tasks are isolated there: `full`, `landlock` or `off`; `none` where none are run.
    isolation: String,
    /// The environments that `python` tasks may ask for there.
    environments: Vec<String>,
    version: String,
    /// Of an external worker, the API key that it claims with; `null` for a worker process.
    api_key_id: Option<String>,
    #[schema(value_type = schema::Time)]
    registered_at: Timestamp,
    #[schema(value_type = schema::Time)]
    last_heartbeat_at: Timestamp,
    #[schema(value_type = schema::Time)]
    lease_expires_at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workers)]
pub(crate) struct WorkerList {
    items: Vec<WorkerDocument>,
    /// Always `null`: the list is whole, but for gone workers beyond the newest 1,000.
    next_cursor: Option<String>,
}

/// List workers, live ones first
#[utoipa::path(
    get, path = "/api/workers", tag = "workers", operation_id = "list_workers",
    responses((status = 200, description = "Live first, newest first", body = WorkerList))
)]
pub(crate) async fn list(State(engine): State<Engine>, parameters: Parameters) -> Result<Json<WorkerList>> {
    parameters.finish(&[])?;
    let items = engine.workers().await?.into_iter().map(WorkerDocument::from).collect();
    Ok(Json(WorkerList {
        items,
        next_cursor: None,
    }))
}

impl From<Worker> for WorkerDocument {
    fn from(worker: Worker) -> Self {
        let registration = worker.registration;
        Self {
            id: registration.id.0,
            name: registration.name,
            state: match worker.state {
                WorkerState::Live => "Live",
                WorkerState::Dead => "Dead",
                WorkerState::Left => "Left",
            },
            targets: registration.targets.iter().map(ToString::to_string).collect(),
            names: registration.names.iter().map(ToString::to_string).collect(),
            capacity: registration.capacity,
            running: worker.running,
            isolation: registration.isolation,
            environments: registration.environments.iter().map(ToString::to_string).collect(),
            version: registration.version,
            api_key_id: worker.key_id,
            registered_at: worker.registered_at,
            last_heartbeat_at: worker.renewed_at,
            lease_expires_at: worker.lease_expires_at,
        }
    }
}
