//! A user's handler, run inside the worker.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::task::Ending;
use orchestratum_store::{ClaimedTask, Evidence};
use tokio_util::sync::CancellationToken;

use super::{Context, Ended, Executor, Phase};
use crate::handler::{Handler, HandlerContext, HandlerError};

pub(crate) struct InProcess(pub(crate) Arc<dyn Handler>);

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

#[async_trait]
impl Executor for InProcess {
    async fn run(&self, task: &ClaimedTask, mut context: Context) -> Ended {
        let stopping = CancellationToken::new();
        let handler_context = HandlerContext {
            task: task.id,
            name: task.name.clone(),
            attempt: task.attempt,
            run: task.run,
            origin: task.origin.clone(),
            stopping: stopping.clone(),
        };
        let handling = self.0.handle(task.input.clone(), handler_context);
        tokio::pin!(handling);
        loop {
            let phase = if stopping.is_cancelled() {
                Phase::Kill
            } else {
                Phase::Terminate
            };
            tokio::select! {
                biased;
                result = &mut handling => return ended(result, stopping.is_cancelled()),
                () = context.reached(phase) => {
                    if phase == Phase::Kill {
                        // Dropping the future is all that can be done to it.
                        return Ended { interrupted: true, ..Ended::failed("the handler was stopped", true) };
                    }
                    stopping.cancel();
                }
            }
        }
    }
}

/// A handler that succeeded although it was asked to stop has done its work; an error may be a consequence of that.
fn ended(result: Result<orchestratum_core::JsonText, HandlerError>, asked_to_stop: bool) -> Ended {
    let (ending, output) = match result {
        Ok(output) => (Ending::Success, Some(output)),
        Err(HandlerError::Retryable(message)) => (
            Ending::Failed {
                message,
                retryable: true,
            },
            None,
        ),
        Err(HandlerError::Permanent(message)) => (
            Ending::Failed {
                message,
                retryable: false,
            },
            None,
        ),
        Err(HandlerError::Cancelled(message)) => (Ending::Cancelled { message }, None),
    };
    Ended {
        interrupted: asked_to_stop && output.is_none(),
        ending,
        evidence: Evidence {
            output,
            ..Evidence::default()
        },
    }
}
