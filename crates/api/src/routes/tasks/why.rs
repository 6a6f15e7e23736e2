//! `GET /api/tasks/{id}/why`

use axum::Json;
use axum::extract::State;
use orchestratum_core::Timestamp;
use orchestratum_core::task::{BuiltIn, TaskStatus};
use orchestratum_engine::Engine;
use orchestratum_engine::tasks::{AHEAD_MAX, Why};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::TaskPath;
use crate::problem::{Document, Result};
use crate::routes::schema;

/// The reason, for programs and for people.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Why)]
pub(crate) struct WhyDocument {
    #[serde(flatten)]
    reason: Reason,
    /// The same as a sentence.
    #[schema(example = "no live worker serves the target default")]
    message: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[schema(as = Reason)]
pub(crate) enum Reason {
    Running {
        worker_id: Uuid,
        #[schema(value_type = schema::Time)]
        since: Timestamp,
    },
    Over {
        #[schema(value_type = schema::Status)]
        status: TaskStatus,
    },
    DueLater {
        #[schema(value_type = schema::Time)]
        due_at: Timestamp,
    },
    RetryLater {
        #[schema(value_type = schema::Time)]
        due_at: Timestamp,
        failed_attempts: u32,
    },
    Paused {
        target: String,
    },
    NoWorker {
        target: String,
    },
    NameNotOffered {
        target: String,
        name: String,
    },
    WaitingForWorker {
        target: String,
        workers: usize,
        /// How many other tasks of the target are ready as well; 10,000 stands for more, too.
        ahead: u64,
    },
}

/// Why a task is not running
#[utoipa::path(
    get, path = "/api/tasks/{id}/why", tag = "tasks", operation_id = "explain_task",
    params(("id" = uuid::Uuid, Path, description = "The task")),
    responses(
        (status = 200, description = "The reason", body = WhyDocument),
        (status = 404, description = "No such task", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn why(State(engine): State<Engine>, TaskPath(task): TaskPath) -> Result<Json<WhyDocument>> {
    Ok(Json(engine.why(task).await?.into()))
}

impl From<Why> for WhyDocument {
    fn from(why: Why) -> Self {
        let message = sentence(&why);
        let reason = match why {
            Why::Running { worker, since } => Reason::Running {
                worker_id: worker.0,
                since,
            },
            Why::Over { status } => Reason::Over { status },
            Why::DueLater { due_at } => Reason::DueLater { due_at },
            Why::RetryLater {
                due_at,
                failed_attempts,
            } => Reason::RetryLater {
                due_at,
                failed_attempts,
            },
            Why::Paused { target } => Reason::Paused {
                target: target.to_string(),
            },
            Why::NoWorker { target } => Reason::NoWorker {
                target: target.to_string(),
            },
            Why::NameNotOffered { target, name, .. } => Reason::NameNotOffered {
                target: target.to_string(),
                name: name.to_string(),
            },
            Why::WaitingForWorker { target, workers, ahead } => Reason::WaitingForWorker {
                target: target.to_string(),
                workers,
                ahead,
            },
        };
        Self { reason, message }
    }
}

fn sentence(why: &Why) -> String {
    match why {
        Why::Running { worker, since } => format!("it runs on worker {worker} since {since}"),
        Why::Over { status } => format!("it is over: {status}"),
        Why::DueLater { due_at } => format!("it is due at {due_at}"),
        Why::RetryLater {
            due_at,
            failed_attempts,
        } => {
            format!("after {failed_attempts} attempt(s) it is tried again at {due_at}")
        }
        Why::Paused { target } => format!("the target {target} is paused"),
        Why::NoWorker { target } => format!("no live worker serves the target {target}"),
        Why::NameNotOffered {
            target,
            name,
            without_programs,
        } => {
            let runs_a_program = matches!(
                BuiltIn::of(name),
                Some(BuiltIn::CSharp | BuiltIn::Python | BuiltIn::Shell)
            );
            let of_them = if runs_a_program && *without_programs > 0 {
                format!(": {without_programs} of them can run no programs")
            } else {
                String::new()
            };
            format!(
                "live workers serve the target {target}, but none offers {name}{of_them}; what a worker does not offer, \
                 and why, is in the log of its start and told by `orchestratum doctor` on its machine"
            )
        }
        Why::WaitingForWorker { target, workers, ahead } => {
            let or_more = if *ahead >= AHEAD_MAX { " or more" } else { "" };
            format!(
                "{workers} worker(s) of the target {target} offer it; {ahead}{or_more} other task(s) of the target are \
                 ready as well"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_core::TaskName;

    use super::*;

    #[test]
    fn a_name_that_is_not_offered_is_told_with_the_reason_and_where_to_look() {
        let said = |name: &str, without_programs| {
            sentence(&Why::NameNotOffered {
                target: "default".parse().expect("a target"),
                name: TaskName::new(name).expect("a name"),
                without_programs,
            })
        };
        let python = said("python", 2);
        assert!(
            python.contains("none offers python: 2 of them can run no programs; "),
            "{python}"
        );
        assert!(python.contains("`orchestratum doctor`"), "{python}");
        for (name, without_programs) in [("python", 0), ("mail.send", 2)] {
            let said = said(name, without_programs);
            assert!(said.contains(&format!("none offers {name}; ")), "{said}");
        }
    }
}
