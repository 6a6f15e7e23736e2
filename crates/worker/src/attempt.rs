//! One attempt under its clocks.
//!
//! ```text
//!   Waiting ──┬── the turn does not come in time ────────────► Released
//!             ├── deadline of the task ──────────────────────► Expired
//!             ├── cancel ────────────────────────────────────► Cancelled
//!             ├── the worker stops ──────────────────────────► Released
//!             ▼
//!   Running ──┬── ends by itself ────────────────────────────► its own ending
//!             ├── deadline of the task ── TERM, 1 s, KILL ───► Expired
//!             ├── timeout of the attempt ─ TERM, grace, KILL ► TimedOut
//!             ├── cancel ──────────────── TERM, grace, KILL ─► Cancelled
//!             ├── the worker stops ────── TERM, grace, KILL ─► Released
//!             └── not ours any more ───── KILL ──────────────► no report
//! ```

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::Ending;
use orchestratum_engine::clock::{Beginning, Clock, Moves};
use orchestratum_engine::error::panic_message;
use orchestratum_store::{ClaimedTask, Evidence};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::claim::Claimer;
use crate::executors::{Context, Ended, Executor, Phase};
use crate::held::{Attended, HandBack, Orders};
use crate::report::{places, report};
use crate::shared::{Life, Shared};
use crate::slots::Slot;
use crate::turns::Turn;

/// Between TERM and KILL at the end of the time-to-live: the processes are to be dead within 2 s, whatever the machine is
/// busy with.
const EXPIRY_GRACE: Duration = Duration::from_secs(1);

/// How long an attempt may take to end after it was killed, before it is reported without it: a handler that blocks its
/// thread cannot be stopped.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
const _: () = assert!(
    KILL_PATIENCE.as_millis() > orchestratum_sandbox::Killer::DEAD_WITHIN.as_millis(),
    "what a sandbox does to end a program is over before an attempt is given up"
);

/// The longest sleep: the clock is corrected now and then, and the deadline with it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why an attempt is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Expired,
    TimedOut,
    Cancelled,
    HandedBack,
}

#[derive(Debug)]
struct Stop {
    cause: Cause,
    kill_at: Instant,
    killed_at: Option<Instant>,
}

/// Runs, stops where it must, reports and cleans up; all that is logged meanwhile says for whom.
pub(crate) async fn run(
    shared: Arc<Shared>,
    life: Life,
    task: Arc<ClaimedTask>,
    executor: Arc<dyn Executor>,
    attended: Arc<Attended>,
    slot: Slot,
    claimer: Claimer,
) {
    let span = span(&task);
    attend(shared, life, task, executor, attended, slot, claimer)
        .instrument(span)
        .await;
}

/// What is logged for an attempt says for whom, whatever runs it.
pub(crate) fn span(task: &ClaimedTask) -> Span {
    let span = tracing::info_span!(
        "attempt", task.id = %task.id, attempt = task.attempt, traceparent = Empty, request.id = Empty
    );
    if let Some(trace) = &task.origin.trace_parent {
        span.record("traceparent", trace.as_str());
    }
    if let Some(request) = &task.origin.request_id {
        span.record("request.id", request.as_str());
    }
    span
}

async fn attend(
    shared: Arc<Shared>,
    life: Life,
    task: Arc<ClaimedTask>,
    executor: Arc<dyn Executor>,
    attended: Arc<Attended>,
    slot: Slot,
    claimer: Claimer,
) {
    let turns = &claimer.lane().turns;
    let key = (task.id, task.attempt);
    let mut clocks = Clocks {
        shared: &shared,
        orders: attended.orders.subscribe(),
        moves: shared.engine.clock().moves(),
        timeout: None,
        stop: None,
    };
    let waited = tokio::select! {
        biased;
        () = attended.abandoned.cancelled() => Waited::Abandoned,
        turn = turns.next() => turn.map_or(Waited::InVain, Waited::For),
        () = clocks.stopped() => Waited::Stopped,
    };
    let ended = match waited {
        Waited::For(turn) => execute(&mut clocks, &task, executor, &attended, slot, turn).await,
        Waited::InVain => {
            let ended = Ended::handed_back("the tasks before it took longer than was to be expected");
            Some((ended, Some(slot)))
        }
        Waited::Stopped => Some((Ended::stopped("it was stopped before it was started"), Some(slot))),
        Waited::Abandoned => {
            abandoned(&task);
            shared.held.remove(key);
            None
        }
    };
    let Some((ended, slot)) = ended else {
        return;
    };
    let (ending, evidence) = clocks.conclude(&task, ended);
    let _on_its_way = shared.reports.take_many(places(&evidence));
    let goes_on = claimer.goes_on(&life, task.followed_by, task.known.clone(), &ending);
    // The next attempt need not wait until this one is recorded, unless it is what follows.
    let slot = slot.filter(|_| goes_on.is_some());
    turns.beat().await;
    let next = report(&shared, &life, key, ending, evidence, goes_on).await;
    claimer.go_on(&life, next.into_iter().collect());
    drop(slot);
}

/// What came of waiting for a turn.
enum Waited {
    For(Turn),
    /// It did not come in time.
    InVain,
    Stopped,
    Abandoned,
}

/// Runs the task in its turn, from which its timeout counts. `None`: it is not ours any more.
///
/// The slot is in the answer unless what runs goes on using it.
async fn execute(
    clocks: &mut Clocks<'_>,
    task: &Arc<ClaimedTask>,
    executor: Arc<dyn Executor>,
    attended: &Arc<Attended>,
    slot: Slot,
    turn: Turn,
) -> Option<(Ended, Option<Slot>)> {
    let shared = clocks.shared;
    let phase = watch::Sender::new(Phase::Run);
    let context = Context {
        phase: phase.subscribe(),
        attended: Arc::clone(attended),
        key: (task.id, task.attempt),
        live_logs: Arc::clone(&shared.live_logs),
    };
    clocks.timeout = task.timeout.map(|timeout| (clocks.clock().begin(), timeout));
    let mut execution = tokio::spawn({
        let task = Arc::clone(task);
        async move {
            let _turn = turn;
            executor.run(&task, context).await
        }
        .in_current_span()
    });
    loop {
        let next = clocks.next();
        tokio::select! {
            biased;
            () = attended.abandoned.cancelled() => {
                abandon(shared, &phase, execution, slot, task).await;
                return None;
            }
            joined = &mut execution => return Some((joined.unwrap_or_else(panicked), Some(slot))),
            _ = clocks.orders.changed() => {}
            () = clocks.moves.next() => {}
            () = sleep_until(next) => {}
        }
        if let Some(wanted) = clocks.phase() {
            phase.send_if_modified(|current| std::mem::replace(current, wanted) != wanted);
        }
        if clocks.gave_up() {
            tracing::error!(task.id = %task.id, task.name = %task.name, "an attempt cannot be stopped; it is left behind");
            execution.abort();
            tokio::spawn(keep_until_over(execution, slot));
            return Some((left_behind(), None));
        }
    }
}

/// Ends an attempt that is not ours any more.
async fn abandon(
    shared: &Shared,
    phase: &watch::Sender<Phase>,
    mut execution: JoinHandle<Ended>,
    slot: Slot,
    task: &ClaimedTask,
) {
    abandoned(task);
    phase.send_replace(Phase::Kill);
    let joined = timeout(KILL_PATIENCE, &mut execution).await;
    shared.held.remove((task.id, task.attempt));
    match joined {
        Ok(_ended) => drop(slot),
        Err(_elapsed) => {
            execution.abort();
            tokio::spawn(keep_until_over(execution, slot));
        }
    }
}

fn abandoned(task: &ClaimedTask) {
    tracing::warn!(task.id = %task.id, task.name = %task.name, attempt = task.attempt, "an attempt was abandoned");
    metrics::counter!("orchestratum_attempts_abandoned_total").increment(1);
}

/// What cannot be stopped goes on using its slot.
async fn keep_until_over(execution: JoinHandle<Ended>, slot: Slot) {
    let _ = execution.await;
    drop(slot);
}

struct Clocks<'a> {
    shared: &'a Shared,
    orders: watch::Receiver<Orders>,
    /// Of a clock that is moved by hand.
    moves: Moves,
    /// How long it may take, and from when on. `None` without a timeout, and before the attempt has its turn.
    timeout: Option<(Beginning, Duration)>,
    stop: Option<Stop>,
}

impl Clocks<'_> {
    /// Completes when an attempt is to be stopped that has not begun.
    async fn stopped(&mut self) {
        while self.phase().is_none() {
            let next = self.next();
            tokio::select! {
                _ = self.orders.changed() => {}
                () = self.moves.next() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// When to look again.
    fn next(&self) -> Instant {
        let now = Instant::now();
        match &self.stop {
            None => {
                let left = self
                    .until_timeout()
                    .map_or(self.until_deadline(), |left| left.min(self.until_deadline()));
                now + self.clock().sleep_for(left).min(LOOK_AGAIN)
            }
            Some(Stop {
                killed_at: Some(at), ..
            }) => *at + KILL_PATIENCE,
            Some(stop) => stop.kill_at.min(now + LOOK_AGAIN),
        }
    }

    fn until_deadline(&self) -> Duration {
        let expires_at = self.orders.borrow().expires_at;
        expires_at.saturating_since(self.clock().now())
    }

    fn until_timeout(&self) -> Option<Duration> {
        let (began, timeout) = self.timeout?;
        Some(timeout.saturating_sub(self.clock().since(began)))
    }

    fn clock(&self) -> &Clock {
        self.shared.engine.clock()
    }

    /// What the execution should do now, if it should not just go on.
    fn phase(&mut self) -> Option<Phase> {
        let orders = *self.orders.borrow_and_update();
        let now = Instant::now();
        let expired = self.until_deadline().is_zero();
        let cause = if expired {
            Some(Cause::Expired)
        } else if self.until_timeout().is_some_and(|left| left.is_zero()) {
            Some(Cause::TimedOut)
        } else if orders.cancel {
            Some(Cause::Cancelled)
        } else if orders.hand_back > HandBack::No {
            Some(Cause::HandedBack)
        } else {
            None
        };
        let grace = if expired {
            EXPIRY_GRACE
        } else {
            self.shared.kill_grace()
        };
        let stop = match (&mut self.stop, cause) {
            (None, None) => return None,
            // The first cause is the one that is reported; a later one may only hurry it up.
            (Some(stop), _) => {
                if expired {
                    stop.kill_at = stop.kill_at.min(now + EXPIRY_GRACE);
                }
                stop
            }
            (stop @ None, Some(cause)) => stop.insert(Stop {
                cause,
                kill_at: now + grace,
                killed_at: None,
            }),
        };
        if orders.hand_back == HandBack::AtOnce {
            stop.kill_at = now;
        }
        if now < stop.kill_at {
            return Some(Phase::Terminate);
        }
        stop.killed_at.get_or_insert(now);
        Some(Phase::Kill)
    }

    fn gave_up(&self) -> bool {
        let killed_at = self.stop.as_ref().and_then(|stop| stop.killed_at);
        killed_at.is_some_and(|at| at.elapsed() >= KILL_PATIENCE)
    }

    /// Who decides how it ended: the attempt itself, unless it was stopped before it had ended. Success in the grace of a
    /// cancel or of a leaving worker counts, as its work is done; out of time it is too late for that.
    fn conclude(&self, task: &ClaimedTask, ended: Ended) -> (Ending, Evidence) {
        let Ended {
            ending: own,
            evidence,
            interrupted,
        } = ended;
        let decides = |stop: &&Stop| match stop.cause {
            Cause::Expired | Cause::TimedOut => interrupted,
            Cause::Cancelled | Cause::HandedBack => interrupted && own != Ending::Success,
        };
        let Some(stop) = self.stop.as_ref().filter(decides) else {
            return (own, evidence);
        };
        let evidence = Evidence {
            output: None,
            ..evidence
        };
        let ending = match stop.cause {
            Cause::Expired => Ending::Expired {
                message: format!(
                    "the time-to-live ended at {}; it was stopped",
                    self.orders.borrow().expires_at
                ),
            },
            Cause::TimedOut => Ending::TimedOut {
                message: format!(
                    "the attempt took longer than its timeout of {} s",
                    task.timeout.unwrap_or_default().as_secs_f64()
                ),
            },
            Cause::Cancelled => Ending::Cancelled {
                message: "cancelled on request".to_owned(),
            },
            Cause::HandedBack => Ending::Released {
                message: "the worker stopped".to_owned(),
            },
        };
        (ending, evidence)
    }
}

fn panicked(error: JoinError) -> Ended {
    let message = match error.try_into_panic() {
        Ok(panic) => format!("the handler panicked: {}", panic_message(panic.as_ref())),
        Err(error) => format!("the handler was stopped: {error}"),
    };
    Ended::failed(message, true)
}

fn left_behind() -> Ended {
    Ended {
        interrupted: true,
        ..Ended::failed("the handler could not be stopped", false)
    }
}
