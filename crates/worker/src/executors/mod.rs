//! What runs a task: one file a kind.

mod amqp;
mod answer;
mod celery;
mod command;
mod content;
mod csharp;
mod echo;
mod gitlab;
mod http;
mod in_process;
mod limits;
pub(crate) mod messaging;
mod program;
mod python;
mod shell;
mod try_out;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::task::{BuiltIn, Ending, Violations};
use orchestratum_store::{ClaimedTask, Evidence};
use tokio::sync::watch;

pub(crate) use amqp::Amqp;
pub(crate) use celery::{Celery, Fleet};
pub(crate) use command::Configured;
pub(crate) use csharp::CSharp;
pub(crate) use echo::echo;
pub(crate) use gitlab::Gitlab;
pub(crate) use http::Http;
pub(crate) use in_process::InProcess;
pub(crate) use python::Python;
pub(crate) use shell::Shell;

use crate::held::{Attended, Key};
use crate::live_logs::LiveLogs;

/// What an execution is asked to do. It only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Run,
    /// Come to an end.
    Terminate,
    /// End.
    Kill,
}

/// What an execution hears while it runs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) attended: Arc<Attended>,
    pub(crate) key: Key,
    pub(crate) live_logs: Arc<LiveLogs>,
}

impl Context {
    /// Completes when this phase, or a later one, has come.
    pub(crate) async fn reached(&mut self, phase: Phase) {
        // The sender outlives the execution, unless the worker's runtime is going down.
        let _ = self.phase.wait_for(|current| *current >= phase).await;
    }
}

/// How an execution ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) ending: Ending,
    pub(crate) evidence: Evidence,
    /// It was stopped before it had come to an end of its own: whoever stopped it says why.
    pub(crate) interrupted: bool,
}

impl Ended {
    pub(crate) fn failed(message: impl Into<String>, retryable: bool) -> Self {
        Self {
            ending: Ending::Failed {
                message: message.into(),
                retryable,
                code: None,
            },
            evidence: Evidence::default(),
            interrupted: false,
        }
    }

    /// Whoever stopped it before it began says why.
    pub(crate) fn stopped(message: impl Into<String>) -> Self {
        Self {
            interrupted: true,
            ..Self::failed(message, true)
        }
    }

    /// For other workers: nothing of it has run.
    pub(crate) fn handed_back(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            ending: Ending::Released { message },
            evidence: Evidence::default(),
            interrupted: false,
        }
    }

    /// The task asks for more than this worker gives to any task.
    pub(crate) fn not_granted(message: &str) -> Self {
        Self {
            ending: Ending::NotGranted {
                message: format!("{message}; see \"Limits\" in docs/tasks.md"),
            },
            evidence: Evidence::default(),
            interrupted: false,
        }
    }

    /// An input that is checked before it is stored, but not by every version.
    pub(crate) fn refused(built_in: BuiltIn, broken: &Violations) -> Self {
        /// Whoever broke more rules has enough to mend.
        const TOLD: usize = 5;
        let rules: Vec<String> = broken.0.iter().take(TOLD).map(ToString::to_string).collect();
        let message = format!("the input of a `{}` task: {}", built_in.as_str(), rules.join("; "));
        Self::failed(message, false)
    }
}

#[async_trait]
pub(crate) trait Executor: Send + Sync + fmt::Debug {
    /// Runs an attempt to its end, obeying the context. A panic is a failure of the attempt.
    async fn run(&self, task: &ClaimedTask, context: Context) -> Ended;
}
