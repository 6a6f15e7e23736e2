//! A worker that claims over HTTP.
//!
//! ```text
//!   claim (waits) ──► an attempt for each command ──┬─ heartbeats: progress; cancelled? still ours?
//!                                                   └─ ends: complete or fail, repeated until it is answered
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use orchestratum_core::task::Progress;
use orchestratum_core::{JsonText, Timestamp};
use orchestratum_engine::error::{chain, panic_message};
use orchestratum_engine::identity;
use orchestratum_worker::{Handled, HandlerError};
use parking_lot::Mutex;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::remote::{Client, read};
use crate::builder::Options;
use crate::entry::missing;
use crate::handler::{Context, Tell};
use crate::registry::Registry;
use crate::{CommandId, Error, Failure};

/// Those of `config/default.toml`, for what the builder was not told.
const CONCURRENCY: usize = 256;
const MAX_CLAIM: usize = 100;
const GRACE: Duration = Duration::from_secs(5);
const DRAIN: Duration = Duration::from_secs(20);

/// How long an attempt stays ours of which nothing is heard.
const LEASE: Duration = Duration::from_secs(30);

/// How long after its deadline an attempt may still report a success: the server ends it a moment later.
const LATE_MOST: Duration = Duration::from_secs(2);

/// The most names that a claim may offer.
const NAMES_OFFERED: usize = 100;

/// How long a claim waits for something to do.
const CLAIM_WAIT: Duration = Duration::from_secs(20);

/// A cancel is noticed by the next heartbeat.
const HEARTBEAT_MOST: Duration = Duration::from_secs(2);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct RemoteWorker(Arc<Shared>);

struct Shared {
    client: Client,
    registry: Registry,
    name: String,
    targets: Vec<String>,
    names: Vec<&'static str>,
    max_claim: usize,
    slots: Arc<Semaphore>,
    lease: Duration,
    grace: Duration,
    drain: Duration,
    attempts: TaskTracker,
    /// Claim nothing more.
    stop: CancellationToken,
    /// Come to an end: the worker leaves.
    leaving: CancellationToken,
}

/// What a claim brings.
#[derive(Debug, Deserialize)]
struct Claimed {
    tasks: Vec<ClaimedTask>,
}

#[derive(Debug, Deserialize)]
struct ClaimedTask {
    id: CommandId,
    attempt: u32,
    run: u32,
    name: String,
    target: String,
    input: JsonText,
    timeout_seconds: Option<f64>,
    started_at: Timestamp,
    deadline_at: Timestamp,
}

/// What a heartbeat is answered.
#[derive(Debug, Deserialize)]
struct Pulse {
    cancel_requested: bool,
}

/// Why an attempt is to come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    TimedOut,
    /// The time-to-live ended: the server ends the command by itself.
    Expired,
    Cancelled,
    Leaving,
    /// The server has ended it: nothing is to be reported.
    NotOurs,
}

impl RemoteWorker {
    pub(super) fn new(client: Client, options: &Options, registry: Registry, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            client,
            name: format!("sdk-{}", std::process::id()),
            targets: options.targets.clone(),
            names: registry.names().collect(),
            registry,
            max_claim: options.max_claim.unwrap_or(MAX_CLAIM),
            slots: Arc::new(Semaphore::new(options.concurrency.unwrap_or(CONCURRENCY))),
            lease: options.lease.unwrap_or(LEASE),
            grace: options.grace.unwrap_or(GRACE),
            drain: options.drain.unwrap_or(DRAIN),
            attempts: TaskTracker::new(),
            stop,
            leaving: CancellationToken::new(),
        }))
    }

    /// Works until it is told to stop; then waits for what runs.
    pub(super) async fn run(self) {
        let shared = self.0;
        join_all(
            shared
                .names
                .chunks(NAMES_OFFERED)
                .map(|names| shared.claim_until_stopped(names)),
        )
        .await;
        shared.attempts.close();
        if timeout(shared.drain, shared.attempts.wait()).await.is_err() {
            shared.leaving.cancel();
            // What cannot be handed back is run again when its lease is over.
            let _ = timeout(shared.grace + LONGEST_PAUSE, shared.attempts.wait()).await;
        }
    }
}

impl Shared {
    async fn claim_until_stopped(self: &Arc<Self>, names: &[&'static str]) {
        let mut pause = FIRST_PAUSE;
        while !self.stop.is_cancelled() {
            match self.claim(names).await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "nothing could be claimed");
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = sleep(pause.mul_f64(0.5 + identity::chance() / 2.0)) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Takes as much as there is room for, and begins it.
    async fn claim(self: &Arc<Self>, names: &[&'static str]) -> Result<(), Error> {
        let first = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            slot = Arc::clone(&self.slots).acquire_owned() => slot,
        };
        // The slots are never closed.
        let Ok(first) = first else { return Ok(()) };
        let mut slots = vec![first];
        while slots.len() < self.max_claim
            && let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
        {
            slots.push(slot);
        }
        let body = json!({
            "worker": self.name,
            "targets": self.targets,
            "names": names,
            "max": slots.len(),
            "wait_seconds": CLAIM_WAIT.as_secs(),
            "lease_seconds": self.lease.as_secs_f64(),
            "request_id": identity::new_request_id(),
        });
        // Dropped half-way, the claim may have been made: its commands run again when their leases are over.
        let answer = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            answer = self.repeated(&["worker", "claim"], &body) => answer?,
        };
        let claimed: Claimed = read(&answer)?;
        for task in claimed.tasks {
            let Some(slot) = slots.pop() else { break };
            let shared = Arc::clone(self);
            self.attempts.spawn(async move { shared.attempt(task, slot).await });
        }
        Ok(())
    }

    /// The same request again while the server cannot be asked: it is answered alike.
    async fn repeated(&self, path: &[&str], body: &Value) -> Result<String, Error> {
        let mut pause = FIRST_PAUSE;
        let start = Instant::now();
        loop {
            match self.client.send(Method::POST, path, &[], Some(body)).await {
                Err(error) if is_transient(&error) && start.elapsed() < self.lease => {
                    tracing::debug!(error = %chain(&error), "a request is repeated");
                }
                answer => return answer,
            }
            sleep(pause.mul_f64(0.5 + identity::chance() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(self: Arc<Self>, task: ClaimedTask, _slot: OwnedSemaphorePermit) {
        let told = Arc::new(Told::default());
        let stopping = CancellationToken::new();
        let handler = self.start(&task, stopping.clone(), Arc::clone(&told));
        let (result, cause) = self.attend(&task, handler, &stopping, &told).await;
        let reported = match (result, cause) {
            (_, Some(Cause::NotOurs)) | (Err(_), Some(Cause::Expired)) => return,
            (Ok(handled), _) => self.complete(&task, handled).await,
            (Err(_), Some(Cause::TimedOut)) => {
                let message = format!(
                    "the attempt took longer than its timeout of {} s",
                    task.timeout_seconds.unwrap_or_default()
                );
                self.report(&task, "fail", failed(&HandlerError::TimedOut(message)))
                    .await
            }
            (Err(_), Some(Cause::Cancelled)) => {
                let error = HandlerError::Cancelled("cancelled on request".to_owned());
                self.report(&task, "fail", failed(&error)).await
            }
            (Err(_), Some(Cause::Leaving)) => {
                self.report(&task, "release", json!({"reason": "the worker stopped"}))
                    .await
            }
            (Err(failure), None) => self.report(&task, "fail", failed(&failure.0)).await,
        };
        if let Err(error) = reported {
            tracing::warn!(task.id = %task.id, attempt = task.attempt, error = %chain(&error), "a report was refused");
        }
    }

    /// The work is done: a server that refuses what comes next gets it without, and the reason in its place.
    async fn complete(&self, task: &ClaimedTask, handled: Handled) -> Result<(), Error> {
        let body = |follow_ups: &[JsonText]| json!({"output": handled.output, "follow_ups": follow_ups});
        let reason = match self.report(task, "complete", body(&handled.follow_ups)).await {
            Err(Error::Refused(reason)) if !handled.follow_ups.is_empty() => reason,
            reported => return reported,
        };
        tracing::error!(task.id = %task.id, task.name = task.name, reason, "what comes after a command is missing");
        match self.report(task, "complete", body(&[missing(&reason)])).await {
            Err(Error::Refused(reason)) => {
                let error = HandlerError::Permanent(format!("the output is refused: {reason}"));
                self.report(task, "fail", failed(&error)).await
            }
            reported => reported,
        }
    }

    async fn report(&self, task: &ClaimedTask, how: &str, body: Value) -> Result<(), Error> {
        let (id, attempt) = (task.id.to_string(), task.attempt.to_string());
        let path = ["worker", "tasks", &id, "attempts", &attempt, how];
        self.repeated(&path, &body).await.map(drop)
    }

    fn start(
        &self,
        task: &ClaimedTask,
        stopping: CancellationToken,
        told: Arc<Told>,
    ) -> JoinHandle<Result<Handled, Failure>> {
        let run = self.registry.of(&task.name).cloned();
        let context = Context {
            id: task.id,
            name: task.name.clone(),
            target: task.target.clone(),
            attempt: task.attempt,
            run: task.run,
            stopping,
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

    /// Waits for the end of a handler, tells the server that it lives, and ends it where it must.
    async fn attend(
        &self,
        task: &ClaimedTask,
        mut handler: JoinHandle<Result<Handled, Failure>>,
        stopping: &CancellationToken,
        told: &Told,
    ) -> (Result<Handled, Failure>, Option<Cause>) {
        let limit = task.deadline_at.saturating_since(task.started_at);
        let out_of_time = Instant::now().checked_add(limit);
        let timeout = task
            .timeout_seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let whose = if timeout.is_some_and(|timeout| timeout <= limit) {
            Cause::TimedOut
        } else {
            Cause::Expired
        };
        let every = (self.lease / 3).min(HEARTBEAT_MOST);
        let mut next_heartbeat = Instant::now() + every;
        let mut cause = None;
        let mut drop_at = None;
        loop {
            let found = tokio::select! {
                biased;
                ended = &mut handler => return (ended.unwrap_or_else(|error| Err(panicked(error))), cause),
                () = until(drop_at) => {
                    handler.abort();
                    return (Err(Failure::new("the handler was stopped")), cause);
                }
                () = until(out_of_time), if cause.is_none() => Some(whose),
                () = self.leaving.cancelled(), if cause.is_none() => Some(Cause::Leaving),
                () = sleep_until(next_heartbeat), if cause != Some(Cause::NotOurs) => {
                    next_heartbeat = Instant::now() + every;
                    self.heartbeat(task, told).await
                }
            };
            if let Some(found) = found {
                // The first is the one that is reported, unless there is nobody to report to.
                if found == Cause::NotOurs || cause.is_none() {
                    cause = Some(found);
                }
                let grace = match found {
                    Cause::TimedOut | Cause::Expired => self.grace.min(LATE_MOST),
                    Cause::Cancelled | Cause::Leaving | Cause::NotOurs => self.grace,
                };
                drop_at.get_or_insert(Instant::now() + grace);
                stopping.cancel();
            }
        }
    }

    async fn heartbeat(&self, task: &ClaimedTask, told: &Told) -> Option<Cause> {
        let (id, attempt) = (task.id.to_string(), task.attempt.to_string());
        let path = ["worker", "tasks", &id, "attempts", &attempt, "heartbeat"];
        let progress = *told.0.lock();
        let body = progress.map_or_else(|| json!({}), |progress| json!({"progress": progress}));
        let answer = self.client.send(Method::POST, &path, &[], Some(&body)).await;
        match answer.and_then(|answer| read::<Pulse>(&answer)) {
            Ok(pulse) if pulse.cancel_requested => Some(Cause::Cancelled),
            Ok(_) => None,
            Err(error) if is_transient(&error) => None,
            Err(error) => {
                tracing::warn!(
                    task.id = %task.id, attempt = task.attempt, error = %chain(&error), "an attempt is not ours any more"
                );
                Some(Cause::NotOurs)
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn panicked(error: tokio::task::JoinError) -> Failure {
    Failure::new(match error.try_into_panic() {
        Ok(panic) => format!("the handler panicked: {}", panic_message(panic.as_ref())),
        Err(error) => format!("the handler was stopped: {error}"),
    })
}

fn failed(error: &HandlerError) -> Value {
    let (kind, retryable) = match error {
        HandlerError::Retryable(_) => ("Failed", Some(true)),
        HandlerError::Permanent(_) => ("Failed", Some(false)),
        // What these mean is not for the worker to decide.
        HandlerError::TimedOut(_) => ("TimedOut", None),
        HandlerError::NotFound(_) => ("NotFound", None),
        HandlerError::Cancelled(_) => ("Cancelled", None),
    };
    json!({"error": {"kind": kind, "message": error.to_string()}, "retryable": retryable})
}

fn is_transient(error: &Error) -> bool {
    match error {
        Error::Unreachable(_) => true,
        Error::Answer { status, .. } => matches!(status, 429 | 500..),
        _ => false,
    }
}

/// What a handler told last.
#[derive(Debug, Default)]
struct Told(Mutex<Option<Progress>>);

impl Tell for Told {
    fn progress(&self, progress: Progress) {
        *self.0.lock() = Some(progress);
    }

    fn log(&self, line: &str) {
        tracing::info!(line, "a handler writes");
    }
}
