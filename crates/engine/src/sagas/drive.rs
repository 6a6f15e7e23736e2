//! Looking at sagas that something has reached: the end of a task, a timer, another saga.
//!
//! Whoever commits such a row looks at once, in the same process (the fast path); what a process that dies leaves is found by the
//! loop for sagas. A look takes whatever has gathered while the last one was in the database, each saga once.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use orchestratum_core::SagaId;
use orchestratum_core::saga::Input;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::{
    Advance, AdvanceOutcome, Advanced, ClaimedTask, Consequences, Error as StoreError, NewSaga, SagaOffer,
    StartOutcome, Store,
};
use parking_lot::Mutex;

use crate::announce::hint;
use crate::batcher::{Batcher, Bounds, Weight};
use crate::clock::Clock;
use crate::engine::Parts;
use crate::journal::{self, Reason};
use crate::{Engine, Error, error, identity, loops};
use orchestratum_broker::Signal;

/// How many sagas are looked at in one transaction.
const LOOKED_AT_ONCE: usize = 256;

/// Those that callers bring something to, and those of workers that go on: as many at once.
const LOOKS: Bounds = Bounds {
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
            Ok(mut outcome) => Ok(looked(&mut outcome).and_then(|advanced| advanced.claimed.take())),
            Err(error) => {
                tracing::debug!(saga.id = %saga, error = %error::chain(&error), "a saga is looked at once more");
                self.look_at_sagas([saga]);
                Err(error.into())
            }
        }
    }

    /// Starts all of these, or none. What must follow the commit is done even if their caller goes away meanwhile.
    pub(super) async fn start_together(&self, sagas: Vec<NewSaga>) -> Result<Vec<StartOutcome>, Error> {
        let engine = self.clone();
        let starting = tokio::spawn(async move {
            let parts = &engine.parts;
            let mut outcomes = parts.store.start_sagas_together(&sagas, parts.clock.now()).await?;
            engine.after_starts(&mut outcomes);
            Ok(outcomes)
        });
        starting.await.unwrap_or(Err(Error::Panicked))
    }

    fn after_starts(&self, outcomes: &mut [StartOutcome]) {
        let started = outcomes.iter_mut().filter_map(|outcome| match outcome {
            StartOutcome::Started(started) => Some(&mut **started),
            StartOutcome::Exists(_)
            | StartOutcome::Replayed(_)
            | StartOutcome::KeyReused
            | StartOutcome::NoDefinition
            | StartOutcome::Rejected(_)
            | StartOutcome::Withheld => None,
        });
        let started: Vec<&mut Advanced> = started.collect();
        metrics::counter!("orchestratum_sagas_started_total").increment(started.len() as u64);
        self.after_looks(started);
    }

    async fn look(&self, sagas: Vec<SagaId>) {
        // One that cannot be looked at does not keep the others from it.
        let mut parts = vec![sagas];
        while let Some(mut sagas) = parts.pop() {
            let advances: Vec<Advance> = sagas.iter().map(|saga| plain_look(*saga)).collect();
            let store = Arc::clone(&self.parts.store);
            match store.advance_sagas(&advances, self.parts.clock.now()).await {
                Ok(mut outcomes) => self.after_looks(outcomes.iter_mut().filter_map(looked)),
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

    /// The fast path after a commit: announces what became ready, wakes who waits, looks at whoever was told something. It takes the
    /// consequences from the looks.
    pub(super) fn after_looks<'a>(&self, looks: impl IntoIterator<Item = &'a mut Advanced>) {
        let now = self.parts.clock.now();
        let mut changed = Vec::new();
        let mut resting = Vec::new();
        for look in looks {
            let Advanced {
                saga,
                before,
                consequences,
                claimed,
            } = look;
            let Consequences {
                ready,
                issued,
                cancelled,
                unlooked,
                next_timer,
                next_due,
            } = std::mem::take(consequences);
            let is_changed = before
                .as_ref()
                .is_none_or(|before| before.version != saga.instance.version);
            if is_changed {
                journal::saga_changed(saga, before.as_ref());
                changed.push(saga.id);
                if saga.instance.status().rests() {
                    resting.push(saga.id);
                }
            }
            metrics::counter!("orchestratum_saga_tasks_total").increment(issued as u64);
            self.moved(|| {
                let claimed = claimed.iter().map(|task| task.id);
                ready.iter().map(|ready| ready.task).chain(claimed)
            });
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

/// Performs the starts that callers ask for. What must follow the commit of a batch is done with it: a caller may go away before it has
/// its answer, and what follows may concern the others as well.
pub(crate) fn start_batcher(
    engine: Weak<Parts>,
    store: &Arc<dyn Store>,
    clock: &Clock,
) -> Batcher<NewSaga, StartOutcome> {
    let (store, clock) = (Arc::clone(store), clock.clone());
    Batcher::start(Bounds::HOT_PATH, start_weight, move |sagas: Arc<Vec<NewSaga>>| {
        let (store, clock, engine) = (Arc::clone(&store), clock.clone(), Weak::clone(&engine));
        async move {
            let mut outcomes = store.start_sagas(&sagas, clock.now()).await?;
            if let Some(parts) = engine.upgrade() {
                Engine { parts }.after_starts(&mut outcomes);
            }
            Ok(outcomes)
        }
    })
}

/// The same for looks at sagas that are there.
pub(crate) fn look_batcher(
    engine: Weak<Parts>,
    store: &Arc<dyn Store>,
    clock: &Clock,
) -> Batcher<Advance, AdvanceOutcome> {
    let (store, clock) = (Arc::clone(store), clock.clone());
    Batcher::start(LOOKS, look_weight, move |advances: Arc<Vec<Advance>>| {
        let (store, clock, engine) = (Arc::clone(&store), clock.clone(), Weak::clone(&engine));
        async move {
            let mut outcomes = store.advance_sagas(&advances, clock.now()).await?;
            if let Some(parts) = engine.upgrade() {
                Engine { parts }.after_looks(outcomes.iter_mut().filter_map(looked));
            }
            Ok(outcomes)
        }
    })
}

fn start_weight(saga: &NewSaga) -> Weight {
    // With its context, its first tasks, and the entry of its history.
    Weight {
        rows: 1,
        bytes: saga.input.len() * 3 + 2_000,
    }
}

fn look_weight(advance: &Advance) -> Weight {
    let data = advance.request.as_ref().map_or(0, |request| match &request.input {
        Input::EventRaised(event) => event.data.len(),
        _ => 0,
    });
    Weight {
        rows: 1,
        bytes: data * 2 + 2_000,
    }
}

fn looked(outcome: &mut AdvanceOutcome) -> Option<&mut Advanced> {
    match outcome {
        AdvanceOutcome::Done(advanced)
        | AdvanceOutcome::Repeated(advanced)
        | AdvanceOutcome::Rejected { advanced, .. }
        | AdvanceOutcome::VersionMismatch { advanced }
        | AdvanceOutcome::EventIdReused { advanced, .. } => Some(&mut **advanced),
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
