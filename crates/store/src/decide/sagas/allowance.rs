//! How much one call may have steps do: rows are locked meanwhile, and others wait for the thread.

use std::future::Future;

use orchestratum_core::expression::STEPS_MAX;
use orchestratum_core::saga::{Cost, MADE_MAX_BYTES, Rejection};

use super::waiting::ARRIVED_MAX;
use crate::Error;

/// How many steps the expressions of a call may take: two inputs that cost as much as one may, or very many others.
const STEPS: u64 = 2 * STEPS_MAX;

/// How large what a call makes may be, likewise.
const BYTES: usize = 2 * MADE_MAX_BYTES;

/// How many inputs it may look at: each is a row that is read and written. Two reads of what waits, so that a caller who meets no more
/// than one is answered at once.
pub(super) const INPUTS: usize = 2 * ARRIVED_MAX;

/// How many steps of expressions take as long as to copy one thing that a saga holds: half a microsecond.
const STEPS_OF_PART: u64 = 5;

/// How many take as long as an input does whatever it is: what is decided of it, and made ready to be written.
const STEPS_OF_INPUT: u64 = 100;

/// How large the sagas may be together that one call reads; one alone may be as large as it is.
pub(crate) const READ_MAX_BYTES: usize = 8 << 20;

/// After so many steps of expressions others get the thread: some milliseconds.
const STEPS_AT_ONCE: u64 = 50_000;

/// What a call has used of it. What it is not enough for is left for a call of its own: each does something, so all of it is
/// done some time.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    steps: u64,
    bytes: usize,
    inputs: usize,
    since_pause: u64,
}

impl Allowance {
    pub(crate) const fn is_used_up(&self) -> bool {
        self.steps >= STEPS || self.bytes >= BYTES || self.inputs >= INPUTS
    }

    /// Takes note of what an input has used, and lets others have the thread where that was much.
    pub(crate) async fn used<P: Future<Output = ()>>(&mut self, cost: Cost, pause: impl Fn() -> P) {
        let Cost { steps, bytes, parts } = cost;
        let parts = u64::try_from(parts).unwrap_or(u64::MAX);
        let steps = steps.saturating_add(parts.saturating_mul(STEPS_OF_PART));
        self.steps = self.steps.saturating_add(steps);
        self.bytes += bytes;
        self.inputs += 1;
        self.since_pause = self.since_pause.saturating_add(steps + STEPS_OF_INPUT);
        if self.since_pause >= STEPS_AT_ONCE {
            self.since_pause = 0;
            pause().await;
        }
    }
}

/// Why none of so many sagas begins that are to begin in one call.
pub(crate) fn too_much_together(sagas: usize) -> Rejection {
    Rejection::cannot_start(format!(
        "the {sagas} sagas that begin on this event cost too much together: their first steps may take {STEPS} steps of expressions \
         and make {BYTES} bytes of tasks, so either less of it begins on one event, or each definition is named in an event of its own"
    ))
}

/// The same of sagas whose definitions, or which themselves, are more than one call can hold.
pub(crate) fn too_large_together(sagas: usize) -> Rejection {
    Rejection::cannot_start(format!(
        "the {sagas} sagas that begin on this event are too large together, or their definitions are: name each definition in an event \
         of its own"
    ))
}

/// Whether so many sagas, so large together, are read by one call.
///
/// # Errors
/// [`Error::TooMuchAtOnce`] where fewer are to be.
pub(crate) const fn fits(sagas: usize, bytes: usize) -> Result<(), Error> {
    if sagas > 1 && bytes > READ_MAX_BYTES {
        Err(Error::TooMuchAtOnce)
    } else {
        Ok(())
    }
}
