//! A worker that claims over HTTP.
//!
//! ```text
//!   claim (waits) ──► an attempt for each command ──┬─ heartbeats: progress; cancelled? still ours?
//!                                                   └─ ends: complete or fail, repeated until it is answered
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use orchestratum_core::{JsonText, Timestamp};
use orchestratum_engine::error::chain;
use orchestratum_engine::identity;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{ASKED_EVERY, Client, Failed, PATIENCE, read};
use super::wishes::Wishes;
use crate::registry::Registry;
use crate::{CommandId, Error, Orchestratum};

/// The most names that a claim may offer.
const NAMES_OFFERED: usize = 100;

/// How long a claim waits for something to do.
const CLAIM_WAIT: Duration = Duration::from_secs(20);

/// The same where others wait for the slot of the claim.
const CROWDED_CLAIM_WAIT: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct RemoteWorker(Arc<Shared>);

pub(super) struct Shared {
    pub(super) client: Client,
    /// What handlers push to.
    pub(super) orchestratum: Orchestratum,
    pub(super) registry: Registry,
    pub(super) wishes: Wishes,
    name: String,
    slots: Arc<Semaphore>,
    attempts: TaskTracker,
    /// Claim nothing more.
    stop: CancellationToken,
    /// Come to an end: the worker leaves.
    pub(super) leaving: CancellationToken,
}

/// What one of several loops of claims may have while it waits: the names of the others want to be claimed as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    slots: usize,
    wait: Duration,
}

/// What a claim brings.
#[derive(Debug, Deserialize)]
struct Claimed {
    tasks: Vec<ClaimedTask>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ClaimedTask {
    pub(super) id: CommandId,
    pub(super) attempt: u32,
    pub(super) run: u32,
    pub(super) name: String,
    pub(super) target: String,
    pub(super) input: JsonText,
    pub(super) timeout_seconds: Option<f64>,
    pub(super) started_at: Timestamp,
    pub(super) deadline_at: Timestamp,
}

impl RemoteWorker {
    pub(super) fn new(
        client: Client,
        orchestratum: Orchestratum,
        wishes: Wishes,
        registry: Registry,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared {
            client,
            orchestratum,
            registry,
            name: format!("sdk-{}", std::process::id()),
            slots: Arc::new(Semaphore::new(wishes.concurrency)),
            wishes,
            attempts: TaskTracker::new(),
            stop,
            leaving: CancellationToken::new(),
        }))
    }

    /// Works until it is told to stop, or its claims are refused for good; then waits for what runs.
    pub(super) async fn run(self) -> Result<(), Error> {
        let shared = self.0;
        let claims = shared.wishes.names.chunks(NAMES_OFFERED);
        let share = Share::of(claims.len(), shared.wishes.concurrency, shared.wishes.max_claim);
        let ended = join_all(claims.map(|names| shared.claim_until_stopped(names, share))).await;
        shared.attempts.close();
        if timeout(shared.wishes.drain, shared.attempts.wait()).await.is_err() {
            shared.leaving.cancel();
            // What cannot be handed back is run again when its lease is over.
            let _ = timeout(shared.wishes.grace + LONGEST_PAUSE, shared.attempts.wait()).await;
        }
        ended.into_iter().collect()
    }
}

impl Share {
    fn of(loops: usize, concurrency: usize, max_claim: usize) -> Self {
        Self {
            slots: (concurrency / loops.max(1)).clamp(1, max_claim),
            // They take turns where there are fewer slots than loops.
            wait: if loops > concurrency {
                CROWDED_CLAIM_WAIT
            } else {
                CLAIM_WAIT
            },
        }
    }
}

impl Shared {
    async fn claim_until_stopped(self: &Arc<Self>, names: &[&'static str], share: Share) -> Result<(), Error> {
        let mut pause = FIRST_PAUSE;
        while !self.stop.is_cancelled() {
            match self.claim(names, share).await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(failed) if is_for_good(&failed) => {
                    tracing::error!(error = %chain(&failed), "the server takes no claims of this worker, which ends");
                    self.stop.cancel();
                    return Err(failed.into());
                }
                Err(failed) => {
                    tracing::warn!(error = %chain(&failed), "nothing could be claimed");
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = sleep(jittered(pause)) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Takes as much as there is room for in its share, and begins it.
    async fn claim(self: &Arc<Self>, names: &[&'static str], share: Share) -> Result<(), Failed> {
        let first = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            slot = Arc::clone(&self.slots).acquire_owned() => slot,
        };
        // The slots are never closed.
        let Ok(first) = first else { return Ok(()) };
        let mut slots = vec![first];
        while slots.len() < share.slots
            && let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
        {
            slots.push(slot);
        }
        let body = json!({
            "worker": self.name,
            "targets": self.wishes.targets,
            "names": names,
            "max": slots.len(),
            "wait_seconds": share.wait.as_secs(),
            "lease_seconds": self.wishes.lease.as_secs_f64(),
            "request_id": identity::new_request_id(),
        });
        let asked = Instant::now();
        // Dropped half-way, the claim may have been made: its commands run again when their leases are over.
        let (answer, is_late) = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            answer = self.repeated(&["worker", "claim"], &body, PATIENCE) => answer?,
        };
        let claimed: Claimed = read(&answer)?;
        if claimed.tasks.is_empty() {
            drop(slots);
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(ASKED_EVERY.saturating_sub(asked.elapsed())) => {}
            }
            return Ok(());
        }
        for task in claimed.tasks {
            let Some(slot) = slots.pop() else { break };
            let shared = Arc::clone(self);
            self.attempts
                .spawn(async move { shared.attempt(task, is_late, slot).await });
        }
        Ok(())
    }

    /// The same request again while the server cannot be asked: it is answered alike. Beside the answer, whether it took more
    /// than one.
    pub(super) async fn repeated(
        &self,
        path: &[&str],
        body: &(impl Serialize + Sync),
        patience: Duration,
    ) -> Result<(String, bool), Failed> {
        let mut pause = FIRST_PAUSE;
        let start = Instant::now();
        let mut repeated = false;
        loop {
            match self.client.post(path, body, patience).await {
                Err(failed) if failed.is_transient() && start.elapsed() < self.wishes.lease => {
                    tracing::debug!(error = %chain(&failed), "a request is repeated");
                }
                answer => return answer.map(|answer| (answer, repeated)),
            }
            repeated = true;
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Whether the next claim will be refused as well, whoever waits for it: the key is gone or has lost its scope, or the server
/// knows another form of claims.
fn is_for_good(failed: &Failed) -> bool {
    let of_the_body = matches!(failed, Failed::Refused(refusal) if refusal.is_of_the_body());
    of_the_body || failed.has_status(StatusCode::UNAUTHORIZED) || failed.has_status(StatusCode::FORBIDDEN)
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + identity::chance() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_of_claims_share_the_slots_and_take_turns_where_there_are_fewer() {
        for (loops, concurrency, max_claim, slots, wait) in [
            (1, 256, 100, 100, CLAIM_WAIT),
            (3, 256, 100, 85, CLAIM_WAIT),
            (3, 3, 100, 1, CLAIM_WAIT),
            (3, 2, 100, 1, CROWDED_CLAIM_WAIT),
        ] {
            let share = Share::of(loops, concurrency, max_claim);
            assert_eq!(share, Share { slots, wait }, "{loops} loops, {concurrency} slots");
        }
    }
}
