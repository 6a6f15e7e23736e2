//! Calls of external workers.

mod claim;
mod complete;
mod fail;
mod heartbeat;
mod release;
mod reports;

use orchestratum_core::task::AttemptOutcome;
use orchestratum_engine::external::{AttemptEnd, Beside, Told};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::AttemptPath;
use crate::routes::schema;

// `routes!` also needs what the attribute of each handler generates, hence the globs.
pub(crate) use claim::*;
pub(crate) use complete::*;
pub(crate) use fail::*;
pub(crate) use heartbeat::*;
pub(crate) use release::*;
pub(crate) use reports::*;

/// How the attempt ended. The same report again is answered with the same.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AttemptEnded)]
pub(crate) struct Ended {
    task_id: Uuid,
    attempt: u32,
    #[schema(value_type = schema::Outcome)]
    outcome: AttemptOutcome,
}

impl Ended {
    fn new(AttemptPath { task, attempt }: AttemptPath, outcome: AttemptOutcome) -> Self {
        Self {
            task_id: task.0,
            attempt,
            outcome,
        }
    }
}

fn told(AttemptPath { task, attempt }: AttemptPath, (end, beside): (AttemptEnd, Beside)) -> Told {
    Told {
        task,
        attempt,
        end,
        beside,
    }
}
