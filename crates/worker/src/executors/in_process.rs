//! A user's handler, run inside the worker.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::task::Ending;
use orchestratum_store::{ClaimedTask, Evidence};
use tokio_util::sync::CancellationToken;

use super::{Context, Ended, Executor, Phase};
use crate::handler::{Handled, Handler, HandlerContext, HandlerError};
use crate::telling::Telling;

pub(crate) struct InProcess {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) log_max_bytes: usize,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

#[async_trait]
impl Executor for InProcess {
    async fn run(&self, task: &ClaimedTask, mut context: Context) -> Ended {
        let stopping = CancellationToken::new();
        let telling = Arc::new(Telling::new(&context, self.log_max_bytes));
        let handler_context = HandlerContext {
            task: task.id,
            name: task.name.clone(),
            target: task.target.clone(),
            attempt: task.attempt,
            run: task.run,
            origin: task.origin.clone(),
            stopping: stopping.clone(),
            telling: Arc::clone(&telling),
        };
        let handling = self.handler.handle(task.input.clone(), handler_context);
        tokio::pin!(handling);
        loop {
            let phase = if stopping.is_cancelled() {
                Phase::Kill
            } else {
                Phase::Terminate
            };
            tokio::select! {
                biased;
                result = &mut handling => return told(&telling, ended(result, stopping.is_cancelled())),
                () = context.reached(phase) => {
                    if phase == Phase::Kill {
                        // Dropping the future is all that can be done to it.
                        let stopped = Ended { interrupted: true, ..Ended::failed("the handler was stopped", true) };
                        return told(&telling, stopped);
                    }
                    stopping.cancel();
                }
            }
        }
    }
}

/// A handler that succeeded although it was asked to stop has done its work; an error may be a consequence of that.
fn ended(result: Result<Handled, HandlerError>, asked_to_stop: bool) -> Ended {
    let mut follow_ups = Vec::new();
    let (ending, output) = match result {
        Ok(handled) => {
            follow_ups = handled.follow_ups;
            (Ending::Success, Some(handled.output))
        }
        Err(HandlerError::Retryable(message)) => (
            Ending::Failed {
                message,
                retryable: true,
                code: None,
            },
            None,
        ),
        Err(HandlerError::Permanent(message)) => (
            Ending::Failed {
                message,
                retryable: false,
                code: None,
            },
            None,
        ),
        Err(HandlerError::Coded {
            message,
            retryable,
            code,
        }) => (
            Ending::Failed {
                message,
                retryable,
                code: Some(code),
            },
            None,
        ),
        Err(HandlerError::TimedOut(message)) => (Ending::TimedOut { message }, None),
        Err(HandlerError::NotFound(message)) => (Ending::NotFound { message }, None),
        Err(HandlerError::Cancelled(message)) => (Ending::Cancelled { message }, None),
    };
    Ended {
        interrupted: asked_to_stop && output.is_none(),
        ending,
        evidence: Evidence {
            output,
            follow_ups,
            ..Evidence::default()
        },
    }
}

/// With what the handler told meanwhile.
fn told(telling: &Telling, mut ended: Ended) -> Ended {
    (ended.evidence.logs, ended.evidence.progress) = telling.rest();
    ended
}
