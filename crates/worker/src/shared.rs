//! What the parts of one worker have in common.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::{Target, WorkerId};
use orchestratum_engine::{CommandLimits, Engine, Settings, WorkerLimits};
use orchestratum_sandbox::Sandbox;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::held::Held;
use crate::lane::Lanes;
use crate::live_logs::LiveLogs;
use crate::slots::Slots;

/// A time in which this worker may run tasks, under one id. It is over when the lease is lost, or when the worker can no
/// longer show that it lives.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) worker: WorkerId,
    pub(crate) over: CancellationToken,
    /// When it is over unless the lease is renewed before.
    fence_at: Arc<Mutex<Instant>>,
}

impl Life {
    pub(crate) fn until(fence_at: Instant, worker: WorkerId) -> Self {
        Self {
            worker,
            over: CancellationToken::new(),
            fence_at: Arc::new(Mutex::new(fence_at)),
        }
    }

    pub(crate) fn lasts_until(&self, fence_at: Instant) {
        *self.fence_at.lock() = fence_at;
    }

    /// How long work may go on if nothing more is heard.
    pub(crate) fn left(&self) -> Duration {
        self.fence_at.lock().saturating_duration_since(Instant::now())
    }

    /// By the clock, and not only by whether somebody has said so: in a process that was frozen, whoever wants to begin
    /// something may run before the thread that ends everything.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled() || *self.fence_at.lock() <= Instant::now()
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) held: Held,
    pub(crate) lanes: Lanes,
    pub(crate) targets: Arc<[Target]>,
    /// How well programs are kept apart here: a level, or `none` where none are run.
    pub(crate) isolation: &'static str,
    pub(crate) live_logs: Arc<LiveLogs>,
    /// Reports that are on their way.
    pub(crate) reports: Arc<Slots>,
    /// Attempts and reports: what has to be over before the worker leaves.
    pub(crate) tracker: TaskTracker,
    /// Under which id this worker is registered. That lets it begin nothing yet: its life does.
    pub(crate) registered: Mutex<Option<WorkerId>>,
    /// `None` while nothing may be claimed.
    pub(crate) life: watch::Receiver<Option<Life>>,
    /// Asks for a renewal without waiting for its time.
    pub(crate) renew_now: Notify,
}

/// Where programs run, and what they are limited to.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) sandbox: Arc<Sandbox>,
    /// Whether those that ask for the network get it.
    pub(crate) network: bool,
    /// What each of them may use at most.
    pub(crate) most: WorkerLimits,
    /// What each of them may use whose task asks for nothing, where that is less.
    pub(crate) usual: CommandLimits,
    pub(crate) log_max_bytes: usize,
    pub(crate) output_max_bytes: usize,
}

impl Programs {
    pub(crate) fn new(sandbox: Arc<Sandbox>, settings: &Settings) -> Self {
        Self {
            sandbox,
            network: settings.worker.network,
            most: settings.worker.limits,
            usual: CommandLimits::default(),
            log_max_bytes: settings.worker.log_max_bytes,
            output_max_bytes: settings.tasks.output_max_bytes,
        }
    }
}

impl Shared {
    pub(crate) fn kill_grace(&self) -> Duration {
        Duration::from_secs_f64(self.engine.settings().worker.kill_grace_seconds)
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_core::Timestamp;
    use orchestratum_engine::clock::Clock;

    use super::*;

    #[test]
    fn a_life_is_over_at_its_fence_also_before_anybody_says_so() {
        let life = Life::until(Instant::now(), Clock::manual(Timestamp::EPOCH).new_worker_id());
        assert!(life.is_over() && !life.over.is_cancelled());
        life.lasts_until(Instant::now() + Duration::from_secs(3_600));
        assert!(!life.is_over());
        life.over.cancel();
        assert!(life.is_over());
    }
}
