//! `GET /api/tasks/{id}/why`

use axum::Json;
use axum::extract::State;
use orchestratum_core::task::{BuiltIn, TaskStatus};
use orchestratum_core::{TaskId, Timestamp};
use orchestratum_engine::Engine;
use orchestratum_engine::tasks::{AHEAD_MAX, Why};
use orchestratum_store::{KEY_LINE_MAX, KeyWait};
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
    /// All places of its concurrency key are held.
    WaitingForPlace {
        key: String,
        /// How many tasks of the key may be ready or running at a time.
        limit: u64,
        held: u64,
        /// Up to ten of those that hold a place.
        #[schema(value_type = Vec<Uuid>)]
        held_by: Vec<TaskId>,
        /// How many get a place before it; 10,000 stands for more, too.
        ahead: u64,
    },
    /// Its rate key has no start left.
    RateLimited {
        key: String,
        limit: u64,
        per_seconds: f64,
        /// When the next task of the key may start.
        #[schema(value_type = schema::Time)]
        next_at: Timestamp,
        /// How many of the key start before it; 10,000 stands for more, too.
        ahead: u64,
    },
    Paused {
        target: String,
    },
    /// Tasks of its target start only so often: see `GET /api/queues/{target}/rate`.
    TargetRateLimited {
        target: String,
        /// When the next task of the target may start.
        #[schema(value_type = schema::Time)]
        next_at: Timestamp,
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
            Why::WaitsForKey(KeyWait::Place {
                key,
                limit,
                held,
                holders,
                ahead,
            }) => Reason::WaitingForPlace {
                key,
                limit,
                held,
                held_by: holders,
                ahead,
            },
            Why::WaitsForKey(KeyWait::Start {
                key,
                limit,
                per,
                opens_at,
                ahead,
            }) => Reason::RateLimited {
                key,
                limit,
                per_seconds: per.as_secs_f64(),
                next_at: opens_at,
                ahead,
            },
            Why::Paused { target } => Reason::Paused {
                target: target.to_string(),
            },
            Why::TargetRateLimited { target, opens_at } => Reason::TargetRateLimited {
                target: target.to_string(),
                next_at: opens_at,
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
        Why::WaitsForKey(wait) => waits_for_key(wait),
        Why::Paused { target } => format!("the target {target} is paused"),
        Why::TargetRateLimited { target, opens_at } => {
            format!("tasks of the target {target} start only so often: the next at {opens_at}")
        }
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

fn waits_for_key(wait: &KeyWait) -> String {
    let or_more = |ahead: u64| if ahead >= KEY_LINE_MAX as u64 { " or more" } else { "" };
    match wait {
        KeyWait::Place {
            key,
            limit,
            held,
            holders,
            ahead,
        } => {
            let named: Vec<String> = holders.iter().map(ToString::to_string).collect();
            let others = held.saturating_sub(named.len() as u64);
            let others = if others > 0 {
                format!(" and {others} more")
            } else {
                String::new()
            };
            format!(
                "all {limit} place(s) of the concurrency key {key:?} are held, by {}{others}; {ahead}{} other task(s) \
                 wait before it",
                named.join(", "),
                or_more(*ahead)
            )
        }
        KeyWait::Start {
            key,
            limit,
            per,
            opens_at,
            ahead,
        } => format!(
            "tasks of the rate key {key:?} start {limit} time(s) in {} s: the next at {opens_at}; {ahead}{} other \
             task(s) wait before it",
            per.as_secs_f64(),
            or_more(*ahead)
        ),
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
