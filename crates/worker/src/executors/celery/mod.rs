//! `celery`: a task of a Celery application, run by its own workers.
//!
//! ```text
//!   input ──► revoke what earlier attempts sent ──► TaskMessage ──► queue ──► Celery worker
//!                                                                                 │
//!   output ◄── the first last word ◄── Answer ◄── queue for replies ◄─────────────┘
//!   cancel, timeout, deadline ──► revoke with terminate ──► REVOKED
//! ```
//!
//! Celery runs a message as often as it comes, so nothing is sent twice by one attempt, and an attempt takes back what those
//! before it may have sent: two of one task never run side by side for longer than the order to revoke is on its way.

mod fleet;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_broker::celery::{Answer, Failure, TaskMessage, Unreadable, task_id};
use orchestratum_broker::{Expected, Missed};
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, CeleryInput, Ending};
use orchestratum_engine::{Settings, error};
use orchestratum_store::{ClaimedTask, Evidence};
use tokio::time::{sleep, timeout};

pub(crate) use fleet::Fleet;

use super::messaging::{self, Names};
use super::{Context, Ended, Executor, Phase};
use crate::handler::idempotency_key;

/// So many attempts before this one are taken back: of each further one the next has done it.
const EARLIER_MOST: u32 = 10;

/// A Celery worker ends a task itself so long after we would have, should we not be there to do it.
const TIME_LIMIT_MARGIN: Duration = Duration::from_secs(5);

/// How long an order to revoke may take, also where the attempt should be over already.
const REVOKE_PATIENCE: Duration = Duration::from_secs(2);
const REVOKE_AGAIN: Duration = Duration::from_millis(200);

pub(crate) struct Celery {
    fleet: Arc<Fleet>,
    default_queue: String,
    queues: Names,
    output_max_bytes: usize,
}

impl fmt::Debug for Celery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Celery")
    }
}

/// One call, and whether a Celery worker may know of it.
struct Call<'a> {
    task: &'a ClaimedTask,
    input: &'a CeleryInput,
    queue: &'a str,
    id: String,
    sent: AtomicBool,
}

type LastWord = Result<Answer, Unreadable>;

impl Celery {
    pub(crate) fn new(fleet: Arc<Fleet>, settings: &Settings) -> Self {
        let celery = &settings.worker.celery;
        Self {
            fleet,
            default_queue: celery.default_queue.clone(),
            queues: Names::new(&celery.queues, settings),
            output_max_bytes: settings.tasks.output_max_bytes,
        }
    }

    fn may_go_to(&self, queue: &str) -> bool {
        let is_default = queue == self.default_queue && !self.queues.are_own(queue);
        is_default || self.queues.allow(queue)
    }

    /// Sends it and waits for the last word, which may never come.
    async fn call(&self, call: &Call<'_>, answers: &mut Expected) -> Result<LastWord, messaging::Error> {
        let task = call.task;
        messaging::ready(self.fleet.messenger()).await?;
        if task.attempt > 1 {
            let first = task.attempt.saturating_sub(EARLIER_MOST).max(1);
            let earlier: Vec<String> = (first..task.attempt).map(|attempt| task_id(task.id, attempt)).collect();
            self.fleet.revoke(&earlier).await?;
        }
        let life = task.expires_at.saturating_since(task.started_at);
        let left = task.timeout.map_or(life, |timeout| timeout.min(life));
        let message = TaskMessage {
            task: task.id,
            attempt: task.attempt,
            idempotency_key: &idempotency_key(task.id, task.run),
            input: call.input,
            queue: call.queue,
            expires_at: task.started_at + left,
            expires_in: left,
            // It takes the place of the application's own, which knows its task better than a time-to-live does.
            time_limit: task.timeout.map(|_| left.saturating_add(TIME_LIMIT_MARGIN)),
            trace_parent: task.origin.trace_parent.as_ref(),
        };
        answers.begins_now();
        call.sent.store(true, Ordering::Relaxed);
        self.fleet.messenger().send(&message.message()).await?;
        last_word(answers).await
    }

    /// Ends it in Celery, within what the context leaves.
    async fn stop(&self, call: &Call<'_>, answers: &mut Expected, context: &mut Context) -> Ended {
        if !call.sent.load(Ordering::Relaxed) {
            return Ended::stopped("it was stopped before it was sent");
        }
        let ids = [call.id.clone()];
        loop {
            let revoked = timeout(REVOKE_PATIENCE, self.fleet.revoke(&ids)).await;
            if let Ok(Ok(())) = revoked {
                break;
            }
            if *context.phase.borrow() >= Phase::Kill {
                let reason = match revoked {
                    Ok(Err(error)) => error::chain(&error),
                    Ok(Ok(())) | Err(_) => "the broker did not answer".to_owned(),
                };
                tracing::warn!(reason, "a task may go on in Celery: it could not be revoked");
                return Ended::stopped("it was stopped, and may go on in Celery: it could not be revoked");
            }
            sleep(REVOKE_AGAIN).await;
        }
        tokio::select! {
            biased;
            last_word = last_word(answers) => match last_word {
                Ok(Ok(Answer::Success(output))) => self.succeeded(output),
                // What else is said now may be a consequence.
                Ok(Ok(Answer::Revoked(_) | Answer::Failure(_) | Answer::UnderWay) | Err(_)) | Err(_) => {
                    Ended::stopped("it was revoked in Celery")
                }
            },
            // It waits behind others there, or its worker is away: it will not begin any more.
            () = context.reached(Phase::Kill) => Ended::stopped("it was revoked in Celery, and no worker said so yet"),
        }
    }

    fn ended(&self, call: &Call<'_>, last_word: LastWord) -> Ended {
        match last_word {
            Ok(Answer::Success(output)) => self.succeeded(output),
            Ok(Answer::Failure(failure)) => failed(call, failure),
            Ok(Answer::Revoked(reason)) if reason == "expired" => Ended::failed(
                "a Celery worker did not begin the task, as it had expired by that worker's clock",
                true,
            ),
            Ok(Answer::Revoked(reason)) => ending(Ending::Cancelled {
                message: format!("revoked in Celery: {reason}"),
            }),
            Ok(Answer::UnderWay) => Ended::failed("Celery did not say how the task ended", true),
            Err(Unreadable::TooLarge(_)) => self.too_large(),
            Err(unreadable @ Unreadable::NotStorable(_)) => ending(Ending::OutputNotStorable {
                message: format!("the answer of a Celery worker cannot be stored: {unreadable}"),
            }),
            Err(unreadable) => Ended::failed(
                format!("the answer of a Celery worker cannot be read: {unreadable}"),
                false,
            ),
        }
    }

    fn succeeded(&self, output: JsonText) -> Ended {
        if output.len() > self.output_max_bytes {
            return self.too_large();
        }
        Ended {
            evidence: Evidence {
                output: Some(output),
                ..Evidence::default()
            },
            ..ending(Ending::Success)
        }
    }

    fn too_large(&self) -> Ended {
        ending(Ending::OutputNotStorable {
            message: format!("the result has more than {} bytes", self.output_max_bytes),
        })
    }
}

#[async_trait]
impl Executor for Celery {
    async fn run(&self, task: &ClaimedTask, mut context: Context) -> Ended {
        let input = match CeleryInput::read(task.input.as_str()) {
            Ok(input) => input,
            Err(broken) => return Ended::refused(BuiltIn::Celery, &broken),
        };
        let queue = input.queue().unwrap_or(&self.default_queue);
        if !self.may_go_to(queue) {
            let reason = format!("the queue `{queue}` is refused: worker.celery.queues does not allow it");
            tracing::warn!(reason, "a `celery` task may not go there");
            return Ended::failed(reason, false);
        }
        let call = Call {
            task,
            input: &input,
            queue,
            id: task_id(task.id, task.attempt),
            sent: AtomicBool::new(false),
        };
        // Before it is sent: a worker may be faster than the confirmation.
        let mut answers = self.fleet.messenger().expect(&call.id);
        let called = tokio::select! {
            biased;
            called = self.call(&call, &mut answers) => Some(called),
            () = context.reached(Phase::Terminate) => None,
        };
        match called {
            Some(Ok(last_word)) => self.ended(&call, last_word),
            Some(Err(error)) => Ended::failed(error.to_string(), true),
            None => self.stop(&call, &mut answers, &mut context).await,
        }
    }
}

/// The first of them counts: a broker that was restarted may have given a task to two workers.
async fn last_word(answers: &mut Expected) -> Result<LastWord, messaging::Error> {
    loop {
        let reply = match answers.next().await {
            Ok(reply) => reply,
            Err(Missed::TooLarge(too_large)) => return Ok(Err(Unreadable::TooLarge(too_large))),
            Err(Missed::Lost) => return Err(messaging::Error::AnswerLost),
        };
        match Answer::read(&reply) {
            Ok(Answer::UnderWay) => {}
            last_word => return Ok(last_word),
        }
    }
}

fn failed(call: &Call<'_>, failure: Failure) -> Ended {
    let Failure {
        exception,
        message,
        traceback,
    } = failure;
    if exception == "NotRegistered" {
        let (task, queue) = (call.input.task(), call.queue);
        return ending(Ending::NotFound {
            message: format!("the Celery worker that took it from the queue `{queue}` knows no task `{task}`"),
        });
    }
    let message = traceback.unwrap_or_else(|| format!("{exception}: {message}"));
    // A database may not store U+0000.
    Ended::failed(message.trim_end().replace('\0', "\u{fffd}"), true)
}

fn ending(ending: Ending) -> Ended {
    Ended {
        ending,
        evidence: Evidence::default(),
        interrupted: false,
    }
}
