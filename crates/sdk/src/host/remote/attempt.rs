//! An attempt of a claimed command: its handler, its heartbeats, and the times at which it has to be over.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::Timestamp;
use orchestratum_engine::error::{chain, panic_message};
use orchestratum_worker::{Handled, HandlerError};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::read;
use super::report::End;
use super::told::Told;
use super::worker::{ClaimedTask, Shared};
use crate::Failure;
use crate::handler::Context;

/// How long after its deadline an attempt may still report a success: the server ends it a moment later.
const LATE_MOST: Duration = Duration::from_secs(2);

/// A cancel is noticed by the next heartbeat.
const HEARTBEAT_MOST: Duration = Duration::from_secs(2);

type Ran = Result<Handled, Failure>;

/// A heartbeat under way; with its answer, when it was sent.
type Beating<'a> = Pin<Box<dyn Future<Output = (Instant, Beaten)> + Send + 'a>>;

/// Why an attempt is to come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    TimedOut,
    /// The time-to-live ended: the server ends the command by itself.
    Expired,
    Cancelled,
    Leaving,
    /// The server has ended it, or nothing was heard of the server for as long as it was ours: nothing is to be reported.
    NotOurs,
}

/// What a heartbeat is answered.
#[derive(Debug, Deserialize)]
struct Pulse {
    cancel_requested: bool,
    deadline_at: Timestamp,
}

/// What came of a heartbeat.
enum Beaten {
    Kept(Pulse),
    /// Nobody knows.
    Lost,
    /// The attempt is over.
    NotOurs,
}

impl Shared {
    /// `is_late` says that the claim took more than one request: how much is left of the lease is not known then.
    pub(super) async fn attempt(self: Arc<Self>, task: ClaimedTask, is_late: bool, _slot: OwnedSemaphorePermit) {
        let told = Arc::new(Told::default());
        let stopping = CancellationToken::new();
        let handler = self.start(&task, stopping.clone(), Arc::clone(&told));
        let (ran, cause) = Vigil::new(&self, &task, &told, stopping, is_late).keep(handler).await;
        let end = match (ran, cause) {
            (_, Some(Cause::NotOurs)) | (Err(_), Some(Cause::Expired)) => return,
            (Ok(handled), _) => End::Completed(handled),
            (Err(_), Some(Cause::TimedOut)) => End::Failed(HandlerError::TimedOut(format!(
                "the attempt took longer than its timeout of {} s",
                task.timeout_seconds.unwrap_or_default()
            ))),
            (Err(_), Some(Cause::Cancelled)) => End::Failed(HandlerError::Cancelled("cancelled on request".to_owned())),
            (Err(_), Some(Cause::Leaving)) => End::Released,
            (Err(failure), None) => End::Failed(failure.0),
        };
        self.tell(&task, end, &told).await;
    }

    fn start(&self, task: &ClaimedTask, stopping: CancellationToken, told: Arc<Told>) -> JoinHandle<Ran> {
        let run = self.registry.of(&task.name).cloned();
        let context = Context {
            id: task.id,
            name: task.name.clone(),
            target: task.target.clone(),
            attempt: task.attempt,
            run: task.run,
            stopping,
            orchestratum: self.orchestratum.clone(),
            teller: told,
        };
        let input = task.input.clone();
        tokio::spawn(async move {
            match run {
                Some(run) => run.run(&input, &context).await,
                None => Err(Failure::not_found(format!("nobody runs `{}` here", context.name))),
            }
        })
    }

    async fn heartbeat(&self, task: &ClaimedTask, told: &Told) -> Beaten {
        let (id, attempt) = (task.id.to_string(), task.attempt.to_string());
        let path = ["worker", "tasks", &id, "attempts", &attempt, "heartbeat"];
        let body = told
            .progress()
            .map_or_else(|| json!({}), |progress| json!({"progress": progress}));
        let answer = self.client.post(&path, &body, self.wishes.lease / 3).await;
        match answer.and_then(|answer| read::<Pulse>(&answer)) {
            Ok(pulse) => Beaten::Kept(pulse),
            Err(failed) if failed.is_transient() => Beaten::Lost,
            Err(failed) => {
                tracing::warn!(
                    task.id = %task.id, attempt = task.attempt, error = %chain(&failed), "an attempt is not ours any more"
                );
                Beaten::NotOurs
            }
        }
    }
}

/// Waits for the end of a handler, tells the server that it lives, and ends it where it must.
struct Vigil<'a> {
    shared: &'a Shared,
    task: &'a ClaimedTask,
    told: &'a Told,
    stopping: CancellationToken,
    begun: Instant,
    /// When it is out of time, and by which limit.
    out_of_time: Option<Instant>,
    limit: Cause,
    /// From then on others may run it, unless a heartbeat is answered before.
    lease_ends: Instant,
    next_heartbeat: Instant,
    cause: Option<Cause>,
    drop_at: Option<Instant>,
}

impl<'a> Vigil<'a> {
    fn new(
        shared: &'a Shared,
        task: &'a ClaimedTask,
        told: &'a Told,
        stopping: CancellationToken,
        is_late: bool,
    ) -> Self {
        let begun = Instant::now();
        let every = if is_late { Duration::ZERO } else { every(shared) };
        let mut vigil = Self {
            shared,
            task,
            told,
            stopping,
            begun,
            out_of_time: None,
            limit: Cause::Expired,
            lease_ends: begun + shared.wishes.lease,
            next_heartbeat: begun + every,
            cause: None,
            drop_at: None,
        };
        vigil.set_deadline(task.deadline_at);
        vigil
    }

    fn set_deadline(&mut self, deadline_at: Timestamp) {
        let left = deadline_at.saturating_since(self.task.started_at);
        let timeout = self.task.timeout_seconds;
        let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        self.out_of_time = self.begun.checked_add(left);
        self.limit = if timeout.is_some_and(|timeout| timeout <= left) {
            Cause::TimedOut
        } else {
            Cause::Expired
        };
    }

    async fn keep(mut self, mut handler: JoinHandle<Ran>) -> (Ran, Option<Cause>) {
        // Beside all else: one that hangs holds nothing up.
        let mut beating: Option<Beating<'a>> = None;
        loop {
            let is_ours = self.cause != Some(Cause::NotOurs);
            tokio::select! {
                biased;
                ended = &mut handler => return (ended.unwrap_or_else(|error| Err(panicked(error))), self.cause),
                () = until(self.drop_at) => {
                    handler.abort();
                    return (Err(Failure::new("the handler was stopped")), self.cause);
                }
                () = sleep_until(self.lease_ends), if is_ours => self.lose(),
                () = until(self.out_of_time), if self.cause.is_none() => self.end(self.limit),
                () = self.shared.leaving.cancelled(), if self.cause.is_none() => self.end(Cause::Leaving),
                (asked_at, beaten) = answered(&mut beating) => {
                    beating = None;
                    self.hear(asked_at, &beaten);
                }
                () = sleep_until(self.next_heartbeat), if is_ours && beating.is_none() => {
                    let asked_at = Instant::now();
                    self.next_heartbeat = asked_at + every(self.shared);
                    let (shared, task, told) = (self.shared, self.task, self.told);
                    beating = Some(Box::pin(async move { (asked_at, shared.heartbeat(task, told).await) }));
                }
            }
        }
    }

    fn hear(&mut self, asked_at: Instant, beaten: &Beaten) {
        match beaten {
            Beaten::Kept(pulse) => {
                self.lease_ends = asked_at + self.shared.wishes.lease;
                self.set_deadline(pulse.deadline_at);
                if pulse.cancel_requested && self.cause.is_none() {
                    self.end(Cause::Cancelled);
                }
            }
            Beaten::Lost => {}
            Beaten::NotOurs => self.end(Cause::NotOurs),
        }
    }

    fn lose(&mut self) {
        tracing::warn!(
            task.id = %self.task.id, attempt = self.task.attempt, "nothing was heard of the server for as long as an attempt was ours"
        );
        self.end(Cause::NotOurs);
    }

    /// The first cause is the one that is reported, unless there is nobody to report to.
    fn end(&mut self, cause: Cause) {
        let grace = self.shared.wishes.grace;
        let grace = match cause {
            Cause::TimedOut | Cause::Expired => grace.min(LATE_MOST),
            Cause::Cancelled | Cause::Leaving | Cause::NotOurs => grace,
        };
        if cause == Cause::NotOurs || self.cause.is_none() {
            self.cause = Some(cause);
        }
        self.drop_at.get_or_insert(Instant::now() + grace);
        self.stopping.cancel();
    }
}

fn every(shared: &Shared) -> Duration {
    (shared.wishes.lease / 3).min(HEARTBEAT_MOST)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Completes when what is under way has, if something is.
async fn answered(under_way: &mut Option<Beating<'_>>) -> (Instant, Beaten) {
    match under_way {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

fn panicked(error: JoinError) -> Failure {
    Failure::new(match error.try_into_panic() {
        Ok(panic) => format!("the handler panicked: {}", panic_message(panic.as_ref())),
        Err(error) => format!("the handler was stopped: {error}"),
    })
}
