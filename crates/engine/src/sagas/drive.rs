//! Looking at sagas that something has reached: the end of a task, a timer, another saga.
//!
//! Whoever commits such a row looks at once, in the same process (the fast path); what a process that dies leaves is found by the
//! loop for sagas. A look takes whatever has gathered while the last one was in the database, each saga once.

use std::collections::BTreeSet;
use std::sync::Arc;

use orchestratum_core::SagaId;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::{
    Advance, AdvanceOutcome, Advanced, ClaimedTask, Consequences, Error as StoreError, SagaOffer,
};
use parking_lot::Mutex;

use crate::announce::hint;
use crate::batcher::{Bounds, Weight};
use crate::journal::{self, Reason};
use crate::{Engine, Error, error, identity, loops};
use orchestratum_broker::Signal;

/// How many sagas are looked at in one transaction.
const LOOKED_AT_ONCE: usize = 256;

/// Those that callers bring something to, and those of workers that go on: as many at once.
pub(crate) const LOOKS: Bounds = Bounds {
    batch: Weight {
        rows: LOOKED_AT_ONCE,
        ..Bounds::HOT_PATH.batch
    },
    ..Bounds::HOT_PATH
};

/// How many looks are in the database at a time.
const LANES: usize = 2;

/// How many sagas must wait before a second look is begun beside another one.
const WORTH_A_LANE: usize = 64;

/// The sagas that are to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Driver(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    sagas: BTreeSet<SagaId>,
    lanes: usize,
}

impl Driver {
    /// Whether a lane is to be begun for them.
    fn add(&self, sagas: impl IntoIterator<Item = SagaId>) -> bool {
        let mut waiting = self.0.lock();
        waiting.sagas.extend(sagas);
        let begins = match waiting.lanes {
            0 => !waiting.sagas.is_empty(),
            lanes => lanes < LANES && waiting.sagas.len() >= WORTH_A_LANE,
        };
        waiting.lanes += usize::from(begins);
        begins
    }

    /// What a lane looks at next; nothing, and the lane is over.
    fn take(&self) -> Vec<SagaId> {
        let mut waiting = self.0.lock();
        let mut taken = Vec::new();
        while taken.len() < LOOKED_AT_ONCE
            && let Some(saga) = waiting.sagas.pop_first()
        {
            taken.push(saga);
        }
        if taken.is_empty() {
            waiting.lanes -= 1;
        }
        taken
    }
}

impl Engine {
    /// Looks at these sagas as soon as there is a lane free. What is lost with the process the loop for sagas finds.
    pub(crate) fn look_at_sagas(&self, sagas: impl IntoIterator<Item = SagaId>) {
        if !self.parts.driver.add(sagas) {
            return;
        }
        let engine = self.clone();
        tokio::spawn(async move {
            loop {
                let sagas = engine.parts.driver.take();
                if sagas.is_empty() {
                    return;
                }
                engine.look(sagas).await;
            }
        });
    }

    /// Looks at a saga of which a worker has ended a task, and tells what that goes on with. After an error it is unknown whether it
    /// has something, as after a claim.
    pub(crate) async fn look_and_go_on(
        &self,
        saga: SagaId,
        offer: SagaOffer,
    ) -> Result<Option<Box<ClaimedTask>>, Error> {
        let advance = Advance {
            offer: Some(offer),
            ..plain_look(saga)
        };
        match self.parts.saga_advances.submit(advance).await {
            Ok(outcome) => {
                let Some(mut advanced) = advanced(outcome) else {
                    return Ok(None);
                };
                let claimed = advanced.claimed.take();
                self.moved(|| claimed.iter().map(|task| task.id));
                self.after_looks(vec![advanced]);
                Ok(claimed)
            }
            Err(error) => {
                tracing::debug!(saga.id = %saga, error = %error::chain(&error), "a saga is looked at once more");
                self.look_at_sagas([saga]);
                Err(error.into())
            }
        }
    }

    async fn look(&self, sagas: Vec<SagaId>) {
        // One that cannot be looked at does not keep the others from it.
        let mut parts = vec![sagas];
        while let Some(mut sagas) = parts.pop() {
            let advances: Vec<Advance> = sagas.iter().map(|saga| plain_look(*saga)).collect();
            let store = Arc::clone(&self.parts.store);
            match store.advance_sagas(&advances, self.parts.clock.now()).await {
                Ok(outcomes) => self.after_looks(outcomes.into_iter().filter_map(advanced).collect()),
                Err(StoreError::Rejected(_) | StoreError::Corrupt { .. }) if sagas.len() > 1 => {
                    let second = sagas.split_off(sagas.len() / 2);
                    parts.push(second);
                    parts.push(sagas);
                }
                Err(error) => {
                    tracing::warn!(
                        saga.id = sagas.first().map(tracing::field::display), sagas = sagas.len(), error = %error::chain(&error),
                        "sagas could not be looked at"
                    );
                }
            }
        }
    }

    /// The fast path after a commit: announces what became ready, wakes who waits, looks at whoever was told something.
    pub(crate) fn after_looks(&self, looks: Vec<Advanced>) {
        let now = self.parts.clock.now();
        let mut changed = Vec::new();
        let mut resting = Vec::new();
        for look in looks {
            let Advanced {
                saga,
                before,
                consequences,
                claimed: _,
            } = look;
            let Consequences {
                ready,
                issued,
                cancelled,
                unlooked,
                next_timer,
                next_due,
            } = consequences;
            let is_changed = before
                .as_ref()
                .is_none_or(|before| before.version != saga.instance.version);
            if is_changed {
                journal::saga_changed(&saga, before.as_ref());
                changed.push(saga.id);
                if saga.instance.status().rests() {
                    resting.push(saga.id);
                }
            }
            metrics::counter!("orchestratum_saga_tasks_total").increment(issued as u64);
            self.moved(|| ready.iter().map(|ready| ready.task));
            self.became_ready(ready.into_iter().map(hint).collect());
            if !cancelled.is_empty() {
                self.after_changes(&cancelled, Reason::of(&TaskEvent::CancelRequested { reason: None }));
            }
            if let Some(due_at) = next_due
                && due_at.saturating_since(now) < loops::LOOK_EVERY
            {
                self.release_soon(due_at.saturating_since(now));
            }
            if let Some(due_at) = next_timer
                && due_at.saturating_since(now) < loops::LOOK_EVERY
            {
                self.fire_timers_soon(due_at.saturating_since(now));
            }
            self.look_at_sagas(unlooked);
        }
        self.parts.saga_waiters.ended(&resting);
        if !changed.is_empty() {
            self.parts.signals.send(Signal::Sagas { sagas: changed });
        }
    }
}

pub(super) fn plain_look(saga: SagaId) -> Advance {
    Advance {
        saga,
        request: None,
        offer: None,
        seed: identity::seed(),
    }
}

pub(super) fn advanced(outcome: AdvanceOutcome) -> Option<Advanced> {
    match outcome {
        AdvanceOutcome::Done(advanced)
        | AdvanceOutcome::Repeated(advanced)
        | AdvanceOutcome::Rejected { advanced, .. }
        | AdvanceOutcome::VersionMismatch { advanced } => Some(*advanced),
        AdvanceOutcome::NotFound => None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn sagas(numbers: std::ops::Range<u128>) -> impl Iterator<Item = SagaId> {
        numbers.map(|number| SagaId(Uuid::from_u128(number)))
    }

    #[test]
    fn a_saga_that_is_told_of_twice_is_looked_at_once() {
        let driver = Driver::default();
        assert!(driver.add(sagas(0..3)), "the first lane");
        assert!(!driver.add(sagas(1..4)), "too few for a second one");
        assert_eq!(driver.take(), sagas(0..4).collect::<Vec<_>>());
        assert!(driver.take().is_empty());
        assert!(driver.add(sagas(0..1)), "the lane was over");
    }

    #[test]
    fn a_second_lane_begins_where_it_is_worth_it() {
        let driver = Driver::default();
        assert!(driver.add(sagas(0..1)));
        assert!(driver.add(sagas(0..WORTH_A_LANE as u128)));
        assert!(!driver.add(sagas(0..1_000)), "two are the most");
        assert_eq!(driver.take().len(), LOOKED_AT_ONCE);
    }
}
