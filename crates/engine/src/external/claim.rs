//! Claiming over HTTP.

use std::time::Duration;

use orchestratum_core::task::{BuiltIn, Violations};
use orchestratum_core::{RequestId, Target, TaskName, Timestamp, WorkerId};
use orchestratum_store::{EXTERNAL_SILENCE, ExternalClaim, ExternalTask, ExternallyClaimed, NO_PROGRAMS, Registration};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

use crate::{Engine, Error, RUNNING_GRACE, journal};

pub const TARGETS_MAX: usize = 16;
pub const NAMES_MAX: usize = 100;
/// The most tasks of one claim.
pub const CLAIM_MAX: usize = 1_000;
pub const WAIT_MAX_SECONDS: f64 = 60.0;
pub const LEASE_MIN_SECONDS: f64 = 5.0;
pub const LEASE_MAX_SECONDS: f64 = 3_600.0;
const LEASE_DEFAULT: Duration = Duration::from_secs(30);
const WORKER_NAME_MAX_BYTES: usize = 200;

/// How large the inputs of one claim may be together: as much as one request can create.
const CLAIM_BYTES: usize = 16 << 20;

/// The most live workers of one key: lists and explanations look at no more.
const WORKERS_OF_KEY: usize = 1_000;

/// What a worker asks for, as it was written.
#[derive(Debug, Clone, Default)]
pub struct ClaimDraft {
    pub worker: String,
    pub targets: Vec<String>,
    pub names: Vec<String>,
    pub max: i64,
    pub wait_seconds: Option<f64>,
    pub lease_seconds: Option<f64>,
    pub request_id: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ClaimedExternally {
    pub worker: WorkerId,
    pub tasks: Vec<ExternalTask>,
}

/// A draft that keeps the rules.
struct Claim {
    claim: ExternalClaim,
    wait: Duration,
}

impl Engine {
    /// Hands ready tasks to an external worker; where there are none, it waits for some.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::TooManyExternalWorkers`], [`Error::TooManyWaitingClaims`],
    /// [`Error::TooManyWaitingClaimsOfOneKey`], failures of the database.
    pub async fn claim_external(&self, draft: ClaimDraft, key_id: &str) -> Result<ClaimedExternally, Error> {
        let Claim { claim, wait } = self.check_claim(draft, key_id).map_err(Error::Invalid)?;
        let give_up_at = Instant::now() + wait;
        let registration = &claim.registration;
        // Armed before the first look, so that what becomes ready after it is not missed.
        let waiting = if wait.is_zero() {
            None
        } else {
            let Registration { targets, names, .. } = registration;
            Some(self.parts.pollers.enlist(key_id, targets, names, claim.limit)?)
        };
        loop {
            let claimed = self.try_claim(&claim).await?;
            let Some(waiting) = &waiting else { return Ok(claimed) };
            if !claimed.tasks.is_empty() {
                return Ok(claimed);
            }
            match timeout_at(give_up_at, waiting.woken()).await {
                Ok(true) => waiting.again(),
                // The process stops, or the time is over.
                Ok(false) | Err(_) => return Ok(claimed),
            }
        }
    }

    async fn try_claim(&self, claim: &ExternalClaim) -> Result<ClaimedExternally, Error> {
        let still = self.parts.clock.still().await;
        let claimed = self.parts.store.claim_external(claim, self.parts.clock.now()).await?;
        drop(still);
        match claimed {
            ExternallyClaimed::TooManyWorkers => Err(Error::TooManyExternalWorkers {
                most: claim.workers_of_key,
            }),
            ExternallyClaimed::Tasks {
                worker,
                tasks,
                repeated,
            } => {
                let attempts = tasks.iter().map(|held| (held.task.id, held.task.attempt));
                self.parts.holders.remember(attempts, &claim.key_id);
                if !repeated {
                    for held in &tasks {
                        journal::claimed(&held.task, worker);
                    }
                    self.moved(|| tasks.iter().map(|held| held.task.id));
                    metrics::counter!("orchestratum_tasks_claimed_total").increment(tasks.len() as u64);
                }
                Ok(ClaimedExternally { worker, tasks })
            }
        }
    }

    fn check_claim(&self, draft: ClaimDraft, key_id: &str) -> Result<Claim, Violations> {
        let ClaimDraft {
            worker,
            targets,
            names,
            max,
            wait_seconds,
            lease_seconds,
            request_id,
        } = draft;
        let mut violations = Violations::default();
        if worker.is_empty() || worker.len() > WORKER_NAME_MAX_BYTES || worker.contains('\0') {
            let rule = format!("must have 1 to {WORKER_NAME_MAX_BYTES} bytes, none of them U+0000");
            violations.add("/worker", rule);
        }
        let targets = words("/targets", targets, TARGETS_MAX, Target::new, &mut violations);
        let names = words("/names", names, NAMES_MAX, offered, &mut violations);
        let limit = usize::try_from(max).ok().filter(|max| (1..=CLAIM_MAX).contains(max));
        if limit.is_none() {
            violations.add(
                "/max",
                format!("must be a whole number from 1 to {CLAIM_MAX}, not {max}"),
            );
        }
        let wait_seconds = wait_seconds.unwrap_or(0.0);
        if !(0.0..=WAIT_MAX_SECONDS).contains(&wait_seconds) {
            let rule = format!("must lie between 0 and {WAIT_MAX_SECONDS} seconds, not {wait_seconds}");
            violations.add("/wait_seconds", rule);
        }
        let lease_seconds = lease_seconds.unwrap_or(LEASE_DEFAULT.as_secs_f64());
        if !(LEASE_MIN_SECONDS..=LEASE_MAX_SECONDS).contains(&lease_seconds) {
            let rule =
                format!("must lie between {LEASE_MIN_SECONDS} and {LEASE_MAX_SECONDS} seconds, not {lease_seconds}");
            violations.add("/lease_seconds", rule);
        }
        let request_id = request_id.and_then(|text| violations.take("/request_id", RequestId::new(text)));
        violations.into_result()?;
        let lease = Duration::from_secs_f64(lease_seconds);
        let longest_wait = self.parts.settings.api.max_wait_seconds;
        let wait = Duration::from_secs_f64(wait_seconds.min(longest_wait));
        let registration = Registration {
            id: self.parts.clock.new_worker_id(),
            name: worker,
            targets,
            names,
            capacity: limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(1),
            isolation: NO_PROGRAMS.to_owned(),
            environments: Vec::new(),
            version: "http".to_owned(),
            lease: lease.max(wait) + EXTERNAL_SILENCE,
        };
        Ok(Claim {
            claim: ExternalClaim {
                offer: offer(&registration, key_id),
                registration,
                key_id: key_id.to_owned(),
                workers_of_key: WORKERS_OF_KEY,
                request_id,
                limit: limit.unwrap_or(1),
                bytes: CLAIM_BYTES,
                lease,
                grace: RUNNING_GRACE,
            },
            wait,
        })
    }
}

/// A name that means what its worker makes of it.
fn offered(text: String) -> Result<TaskName, String> {
    let name = TaskName::new(text).map_err(|error| error.to_string())?;
    if BuiltIn::is_reserved(&name) {
        return Err(format!(
            "must not be {name}: built-in tasks mean the same on every worker"
        ));
    }
    Ok(name)
}

/// Sorted, each once.
fn words<T: Ord, E: std::fmt::Display>(
    pointer: &str,
    given: Vec<String>,
    most: usize,
    word: impl Fn(String) -> Result<T, E>,
    violations: &mut Violations,
) -> Vec<T> {
    if given.is_empty() || given.len() > most {
        violations.add(pointer, format!("must have 1 to {most} entries, not {}", given.len()));
        return Vec::new();
    }
    let checked = given
        .into_iter()
        .enumerate()
        .filter_map(|(index, text)| violations.take(&format!("{pointer}/{index}"), word(text)));
    let mut words: Vec<T> = checked.collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// The same for whoever claims with the same key and name and offers the same.
fn offer(registration: &Registration, key_id: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    add(key_id);
    add(&registration.name);
    for target in &registration.targets {
        add(target.as_str());
    }
    // None of them is empty.
    add("");
    for name in &registration.names {
        add(name.as_str());
    }
    hash.finalize().into()
}

impl ClaimedExternally {
    /// By when an attempt has to end: the deadline of the task, or the timeout of the attempt if that is sooner.
    pub fn deadline(expires_at: Timestamp, started_at: Timestamp, timeout: Option<Duration>) -> Timestamp {
        timeout.map_or(expires_at, |timeout| expires_at.min(started_at + timeout))
    }
}
