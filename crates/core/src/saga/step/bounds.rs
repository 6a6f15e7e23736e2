//! How much an instance may hold, and a step may make: all of it is read and written in one transaction.

use super::Rejection;
use super::run::{Failure, Run};
use crate::JsonText;
use crate::saga::instance::{Cause, Event, Instance, Live, Outcome, Undo};

/// The most events that wait for a state that takes them.
pub const DEFERRED_MAX: usize = 100;

/// With how many things that failed and wait for a decision no event from outside is kept any more because it failed. What comes from
/// within is kept even so, as nobody could bring it again; where that is very much, nothing new begins.
pub const PARKED_MAX: usize = 100;

/// The most compensations that an instance holds: those of live and of parked tasks included, and those that failed and were passed over.
pub const COMPENSATIONS_MAX: usize = 10_000;

/// The most tasks and child sagas that an instance waits for at a time.
pub const LIVE_MAX: usize = 10_000;

/// The most that an instance waits for and that waits for a decision, together: with more nothing new begins. All that is parked
/// from within was live before, or was raised by a transition.
const WAITING_MAX: usize = LIVE_MAX + PARKED_MAX;

/// How large what an instance holds may be.
pub const HELD_MAX_BYTES: usize = 8 << 20;

/// How large what one step makes may be.
pub const MADE_MAX_BYTES: usize = 8 << 20;

/// What each task costs beside its texts, in the unit of the rest: it is a row, or two.
const TASK_COST: usize = 1_600;

/// What each task costs that is held, beside its texts. So does what undoes another one when that is made.
const HELD_TASK_COST: usize = 200;

/// How many entries a `for_each` goes through: so many small tasks are what a step may make.
pub(super) const ITEMS_MAX: usize = 4_000;

const _: () = assert!(
    ITEMS_MAX * (TASK_COST + HELD_TASK_COST + 250) < MADE_MAX_BYTES,
    "the tasks of a for_each, and what undoes them, do not fit into a step"
);

impl Run<'_> {
    /// Takes what a task or a child saga costs from what the step may make.
    pub(super) fn made(&mut self, bytes: usize) -> Result<(), Failure> {
        self.costs(bytes + TASK_COST)
    }

    /// The same for what may undo one.
    pub(super) fn made_to_undo(&mut self, bytes: usize) -> Result<(), Failure> {
        self.costs(bytes + HELD_TASK_COST)
    }

    fn costs(&mut self, bytes: usize) -> Result<(), Failure> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| {
            let message = format!(
                "the tasks of one step must not be larger than {MADE_MAX_BYTES} bytes together, where each counts as {TASK_COST} beside \
                 its texts, and what undoes it as {HELD_TASK_COST}"
            );
            Failure(message)
        })?;
        Ok(())
    }

    /// Refuses to have one more task that is not over.
    pub(super) fn bound_live(&self) -> Result<(), Failure> {
        if self.instance.live.len() >= LIVE_MAX {
            return Err(too_many_live());
        }
        Ok(())
    }

    /// Refuses to hold more than may be. One that holds too much already may still become smaller.
    /// `raised` are so many ends that had been raised before.
    pub(super) fn bound_held(&self, before: &Instance, raised: usize) -> Result<(), Failure> {
        let (held, compensations) = (self.instance.held_bytes(), self.instance.compensations());
        if compensations > COMPENSATIONS_MAX && compensations > before.compensations() {
            let message = format!("a saga must not have more than {COMPENSATIONS_MAX} compensations");
            return Err(Failure(message));
        }
        let live = self.instance.live.len();
        if live > LIVE_MAX && live > before.live.len() {
            return Err(too_many_live());
        }
        let waiting = self.instance.waiting() + self.raised.len() + self.set_aside;
        if waiting > WAITING_MAX && waiting > before.waiting() + raised + self.set_aside {
            let message = format!(
                "a saga must not have more than {WAITING_MAX} tasks and child sagas that are not over, and failures that wait for a \
                 decision"
            );
            return Err(Failure(message));
        }
        if held > HELD_MAX_BYTES && held > before.held_bytes() {
            let message =
                format!("a saga must not hold more than {HELD_MAX_BYTES} bytes of context, compensations and events");
            return Err(Failure(message));
        }
        Ok(())
    }

    /// Whether there is room for another event that waits.
    pub(super) fn bound_deferred(&self, event: &Event) -> Result<(), Rejection> {
        let is_full = self.instance.deferred.len() >= DEFERRED_MAX;
        if is_full || self.instance.held_bytes() + event.data.len() > HELD_MAX_BYTES {
            return Err(Rejection::TooManyDeferred);
        }
        Ok(())
    }

    /// Whether there is room for another event that failed.
    pub(super) fn bound_parked(&self, event: &Event, Failure(reason): &Failure) -> Result<(), Rejection> {
        let is_full = self.instance.parked.len() >= PARKED_MAX;
        if is_full || self.instance.held_bytes() + event.data.len() > HELD_MAX_BYTES {
            return Err(Rejection::TooManyParked { reason: reason.clone() });
        }
        Ok(())
    }
}

fn too_many_live() -> Failure {
    Failure(format!(
        "a saga must not have more than {LIVE_MAX} tasks and child sagas that are not over"
    ))
}

impl Instance {
    /// How many things it holds: so much is to be done where it is copied, however large they are, since texts are shared.
    pub fn parts(&self) -> usize {
        let joins: usize = self.joins.values().map(|joining| joining.outcomes.len()).sum();
        let held = self.context.len() + self.live.len() + self.compensations() + joins;
        held + self.deferred.len() + self.parked.len()
    }

    fn compensations(&self) -> usize {
        let live = self.live.values().chain(self.parked_tasks());
        let live: usize = live.map(|live| live.compensation.len()).sum();
        self.stack.len() + live + self.not_undone.len()
    }

    fn parked_tasks(&self) -> impl Iterator<Item = &Live> {
        self.parked.iter().filter_map(|parked| match &parked.cause {
            Cause::Task { live, .. } => Some(&**live),
            Cause::Event(_) | Cause::Timer(_) | Cause::Join { .. } | Cause::Entry { .. } => None,
        })
    }

    /// Of how much somebody is still to hear.
    fn waiting(&self) -> usize {
        self.live.len() + self.parked.len()
    }

    /// How large what it holds is, roughly: all that has no narrow bound of its own.
    fn held_bytes(&self) -> usize {
        let context: usize = self.context.values().map(JsonText::len).sum();
        let stack: usize = self.stack.iter().map(Undo::bytes).sum();
        let not_undone = self.not_undone.iter();
        let not_undone: usize = not_undone.map(|(undo, error)| undo.bytes() + error.message.len()).sum();
        let live: usize = self.live.values().map(Live::bytes).sum();
        let joins = self.joins.values().flat_map(|joining| &joining.outcomes).flatten();
        let joins: usize = joins.map(Outcome::bytes).sum();
        let deferred: usize = self.deferred.iter().map(|event| event.data.len()).sum();
        let parked = self.parked.iter();
        let parked: usize = parked.map(|parked| parked.cause.bytes() + parked.reason.len()).sum();
        context + stack + not_undone + live + joins + deferred + parked
    }
}

impl Undo {
    fn bytes(&self) -> usize {
        self.task.bytes() + HELD_TASK_COST
    }
}

impl Live {
    fn bytes(&self) -> usize {
        let drafts = self.compensation.iter().chain(self.task.as_deref());
        drafts.map(|draft| draft.bytes() + HELD_TASK_COST).sum()
    }
}

impl Outcome {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Succeeded { output } => output.len(),
            Self::Unsuccessful { error, .. } => error.message.len(),
        }
    }
}

impl Cause {
    fn bytes(&self) -> usize {
        match self {
            Self::Event(event) | Self::Entry { event, .. } => event.data.len(),
            Self::Task { live, .. } => live.bytes(),
            Self::Timer(_) | Self::Join { .. } => 0,
        }
    }
}
