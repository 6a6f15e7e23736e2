//! The background loops: the slow path behind every hand-off.
//!
//! A state change and the row that says what must happen next commit together, and the process that committed acts on
//! it at once. What a dead process or a lost message left undone is found here. Any number of processes may run the
//! loops: whatever two of them find, [`orchestratum_core::task::transition`] decides under a lock, once.
//!
//! ```text
//!   pulse   1 s or sooner: what is there to do?
//!     ├─► due       delayed tasks become ready and are announced
//!     ├─► schedules slots that have come become tasks
//!     ├─► expire    deadlines pass, in the queue and (after a grace) while running
//!     ├─► sagas     timers fire, and what nobody has looked at is looked at
//!     ├─► groups    ends of members are counted, groups stop, and what comes after them is created
//!     ├─► rescue    silent workers are declared dead, their tasks run again
//!     ├─► leases    what external workers hold for too long is lost, or has timed out
//!     └─► unoffered tasks whose name nobody offers
//!   feed      1 s or when a window runs low: messages for ready tasks
//!   answers   250 ms while someone waits: are the tasks over?
//!   follow    250 ms while someone follows logs: what is new?
//!   changes   50 ms while someone follows changes: how do those stand that changed?
//!   poll      250 ms while a claim waits: what can be claimed?
//!   retention 1 min: old tasks and records go
//!   compare   5 min: do the branches of sagas that wait stand where those expect them?
//!   inbound   messages of other programs become events of sagas
//! ```
//!
//! Each runs under `supervise`, which begins it again should it panic.

mod answers;
mod changes;
mod compare;
mod due;
mod expire;
mod feed;
mod follow;
mod groups;
mod inbound;
mod leases;
mod poll;
mod pulse;
mod rates;
mod rescue;
mod retention;
mod sagas;
mod schedules;
mod supervise;
mod turns;
mod unoffered;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orchestratum_store::{Change, ChangeOutcome, Pulse};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use expire::RUNNING_GRACE;
pub(crate) use pulse::INTERVAL as LOOK_EVERY;
use supervise::supervise;
pub(crate) use turns::Turns;

use crate::clock::Moves;
use crate::journal::Reason;
use crate::{Engine, Error, identity};

/// How many rows one pass of a loop takes: a pass stays short, and the next one follows at once if there was more.
const PASS: usize = 500;

/// What a pass of a loop did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) done: usize,
    /// The pass was full: there may be more.
    pub(crate) more: bool,
}

impl Pass {
    fn of(found: usize) -> Self {
        Self {
            done: found,
            more: found >= PASS,
        }
    }
}

impl Engine {
    /// Starts answering those who wait for tasks and, if `loops`, the background loops, until `stop`.
    pub fn start_background(&self, loops: bool, tracker: &TaskTracker, stop: &CancellationToken) {
        self.start_loop("signals", tracker, stop, answers::listen);
        self.start_loop("answers", tracker, stop, answers::ask);
        self.start_loop("follow", tracker, stop, follow::run);
        self.start_loop("changes", tracker, stop, changes::run);
        self.start_loop("poll", tracker, stop, poll::run);
        let (pulses, latest_pulse) = watch::channel(Pulse::default());
        // Without a pulse it feeds nothing, but still measures the windows for those who create tasks here.
        self.start_loop("feed", tracker, stop, move |engine, stop| {
            feed::run(engine, latest_pulse.clone(), stop)
        });
        if loops {
            let begun = AtomicBool::new(false);
            self.start_loop("pulse", tracker, stop, move |engine, stop| {
                pulse::run(engine, pulses.clone(), begun.swap(true, Ordering::Relaxed), stop)
            });
            self.start_loop("retention", tracker, stop, retention::run);
            self.start_loop("compare", tracker, stop, compare::run);
            self.start_loop("inbound", tracker, stop, inbound::run);
        }
    }

    /// One pass of the loops that sweep, now: for a host with a rhythm of its own, such as a test that moves the clock. `true` if
    /// there may be more to do.
    pub async fn sweep_once(&self) -> Result<bool, Error> {
        pulse::once(self).await
    }

    fn start_loop<Running>(
        &self,
        name: &'static str,
        tracker: &TaskTracker,
        stop: &CancellationToken,
        run: impl Fn(Self, CancellationToken) -> Running + Send + 'static,
    ) where
        Running: Future<Output = ()> + Send + 'static,
    {
        let (engine, stop) = (self.clone(), stop.clone());
        tracker.spawn(supervise(name, stop.clone(), move || run(engine.clone(), stop.clone())));
    }

    /// Puts the same kind of event to many tasks and does what must follow. A task that refuses it has moved on.
    async fn sweep(&self, mut changes: Vec<Change>) -> Result<Pass, Error> {
        for change in &mut changes {
            change.seed = identity::seed();
        }
        let Some(reason) = changes.first().map(|change| Reason::of(&change.event)) else {
            return Ok(Pass::default());
        };
        let mut accepted = Vec::new();
        for outcome in self.parts.store.apply(&changes, self.parts.clock.now()).await? {
            match outcome {
                ChangeOutcome::Done(changed) => accepted.push(changed),
                ChangeOutcome::AlreadyReported { .. }
                | ChangeOutcome::Refused { .. }
                | ChangeOutcome::VersionMismatch { .. }
                | ChangeOutcome::NotFound => {}
            }
        }
        self.after_changes(&accepted, reason);
        Ok(Pass {
            done: accepted.len(),
            more: changes.len() >= PASS && !accepted.is_empty(),
        })
    }
}

/// Sleeps until the clock is moved by hand, but no longer than so; `false` because the process stops.
async fn sleep_unless_moved(duration: Duration, moves: &mut Moves, stop: &CancellationToken) -> bool {
    tokio::select! {
        goes_on = sleep_unless_stopped(duration, stop) => goes_on,
        () = moves.next() => true,
    }
}

/// Sleeps, or returns `false` because the process stops.
async fn sleep_unless_stopped(duration: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(duration) => true,
        () = stop.cancelled() => false,
    }
}
