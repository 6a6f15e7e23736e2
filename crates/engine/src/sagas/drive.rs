//! Looking at sagas that something has reached: the end of a task, a timer, another saga.
//!
//! Whoever commits such a row looks at once, in the same process (the fast path); what a process that dies leaves is found by the
//! loop for sagas. A look takes whatever has gathered while the last one was in the database, each saga once.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use orchestratum_core::SagaId;
use orchestratum_core::saga::SagaStatus;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::{
    Advance, AdvanceOutcome, Advanced, ClaimedTask, Consequences, SagaOffer, Stand, StartOutcome,
};
use parking_lot::Mutex;

use super::lines::Tried;
use super::widths::{Turn, Widths};
use crate::announce::hint;
use crate::batcher::caught;
use crate::journal::{self, Reason};
use crate::{Engine, Error, error, identity, loops};
use orchestratum_broker::Signal;

/// How many looks are in the database at a time.
const LANES: usize = 2;

/// How many sagas must wait before a second look is begun beside another one.
const WORTH_A_LANE: usize = 64;

/// The sagas that are to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    waiting: Mutex<Waiting>,
    widths: Widths,
}

/// One that looks at what waits, until nothing does. What it has taken when it panics the loop for sagas finds.
struct Lane(Arc<Driver>);

impl Drop for Lane {
    fn drop(&mut self) {
        // The others have told that they are over when they found nothing.
        if std::thread::panicking() {
            self.0.waiting.lock().lanes -= 1;
        }
    }
}

/// Each once, in the order in which they were told of: whoever takes many looks has each behind the others.
#[derive(Debug, Default)]
struct Waiting {
    sagas: HashSet<SagaId>,
    first: VecDeque<SagaId>,
    again: VecDeque<SagaId>,
    /// The two lines take turns.
    again_is_next: bool,
    lanes: usize,
}

impl Waiting {
    const fn line(&mut self, turn: Turn) -> &mut VecDeque<SagaId> {
        match turn {
            Turn::First => &mut self.first,
            Turn::Again => &mut self.again,
        }
    }
}

impl Driver {
    /// Whether a lane is to be begun for them.
    fn add(&self, sagas: impl IntoIterator<Item = SagaId>, turn: Turn) -> bool {
        let mut waiting = self.waiting.lock();
        for saga in sagas {
            if waiting.sagas.insert(saga) {
                waiting.line(turn).push_back(saga);
            }
        }
        let begins = match waiting.lanes {
            0 => !waiting.sagas.is_empty(),
            lanes => lanes < LANES && waiting.sagas.len() >= WORTH_A_LANE,
        };
        waiting.lanes += usize::from(begins);
        begins
    }

    /// What a lane looks at next; nothing, and the lane is over.
    fn take(&self) -> (Vec<SagaId>, Turn) {
        let mut waiting = self.waiting.lock();
        let is_again = !waiting.again.is_empty() && (waiting.again_is_next || waiting.first.is_empty());
        let turn = if is_again { Turn::Again } else { Turn::First };
        waiting.again_is_next = !is_again;
        let line = waiting.line(turn);
        let many = self.widths.of(turn).get().min(line.len());
        let taken: Vec<SagaId> = line.drain(..many).collect();
        for saga in &taken {
            waiting.sagas.remove(saga);
        }
        if taken.is_empty() {
            waiting.lanes -= 1;
        }
        (taken, turn)
    }
}

impl Engine {
    /// Looks at these sagas as soon as there is a lane free. What is lost with the process the loop for sagas finds.
    pub(crate) fn look_at_sagas(&self, sagas: impl IntoIterator<Item = SagaId>) {
        self.line_up(sagas, Turn::First);
    }

    fn line_up(&self, sagas: impl IntoIterator<Item = SagaId>, turn: Turn) {
        if !self.parts.driver.add(sagas, turn) {
            return;
        }
        let engine = self.clone();
        let lane = Lane(Arc::clone(&engine.parts.driver));
        tokio::spawn(async move {
            let _lane = lane;
            loop {
                let (sagas, turn) = engine.parts.driver.take();
                if sagas.is_empty() {
                    return;
                }
                engine.look(sagas, turn).await;
            }
        });
    }

    /// Looks at a saga until it has had its turn.
    pub(super) async fn look_in_turn(&self, advance: Advance) -> Result<AdvanceOutcome, Error> {
        let mut line = &self.parts.saga_advances;
        loop {
            match line.submit(advance.clone()).await? {
                Tried::Looked(outcome) => return Ok(outcome),
                Tried::Failed(error) => return Err(Error::Store(error)),
                Tried::Not => line = &self.parts.saga_advances_again,
            }
        }
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
            Ok(Tried::Looked(mut outcome)) => Ok(looked(&mut outcome).and_then(|advanced| advanced.claimed.take())),
            Ok(Tried::Not) => {
                self.line_up([saga], Turn::Again);
                Ok(None)
            }
            Ok(Tried::Failed(error)) => Err(self.look_later(saga, Error::Store(error))),
            Err(error) => Err(self.look_later(saga, error.into())),
        }
    }

    fn look_later(&self, saga: SagaId, error: Error) -> Error {
        tracing::debug!(saga.id = %saga, error = %error::chain(&error), "a saga is looked at once more");
        self.look_at_sagas([saga]);
        error
    }

    pub(super) fn after_starts(&self, outcomes: &mut [StartOutcome]) {
        let started = outcomes.iter_mut().filter_map(|outcome| match outcome {
            StartOutcome::Started(started) => Some(&mut **started),
            StartOutcome::Exists(_)
            | StartOutcome::Replayed(_)
            | StartOutcome::KeyReused
            | StartOutcome::NoDefinition
            | StartOutcome::Rejected(_)
            | StartOutcome::Withheld
            | StartOutcome::Left => None,
        });
        let started: Vec<&mut Advanced> = started.collect();
        self.after_looks(started);
    }

    async fn look(&self, sagas: Vec<SagaId>, turn: Turn) {
        // One that cannot be looked at does not keep the others from it.
        let mut parts = vec![sagas];
        while let Some(mut sagas) = parts.pop() {
            let advances: Vec<Advance> = sagas.iter().map(|saga| plain_look(*saga)).collect();
            let looking = self.parts.store.advance_sagas(&advances, self.parts.clock.now());
            match caught("a look at sagas", looking).await {
                Ok(mut outcomes) => {
                    let cut = cut(&mut outcomes);
                    self.parts.driver.widths.looked(turn, sagas.len(), cut);
                    self.after_looks(outcomes.iter_mut().filter_map(looked));
                }
                // Fewer may be in time, and others are not kept from it meanwhile.
                Err(failure) if failure.is_of_many() && sagas.len() > 1 => {
                    overdone(&failure.into_error(), sagas.len());
                    self.parts.driver.widths.overdone(turn, sagas.len());
                    self.line_up(sagas, turn);
                }
                Err(failure) if failure.may_be_of_one() && sagas.len() > 1 => {
                    let second = sagas.split_off(sagas.len() / 2);
                    parts.push(second);
                    parts.push(sagas);
                }
                Err(failure) => {
                    tracing::warn!(
                        saga.id = sagas.first().map(tracing::field::display), sagas = sagas.len(),
                        error = %error::chain(&failure.into_error()),
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
        let (mut changed, mut resting) = (Vec::new(), Vec::new());
        let mut begun = 0;
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
                again,
                cut: _,
                next_timer,
                next_due,
            } = std::mem::take(consequences);
            // One that ends without having begun has the version that it had.
            let is_changed = before.as_ref().is_none_or(|before| {
                (before.version, before.status) != (saga.instance.version, saga.instance.status())
            });
            if is_changed {
                begun +=
                    u64::from(saga.instance.version > 0 && before.as_ref().is_none_or(|before| before.version == 0));
                journal::saga_changed(saga, before.as_ref());
                changed.push(saga.id);
                count(saga.instance.status(), before.as_ref());
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
            self.line_up(again, Turn::Again);
            self.look_at_sagas(unlooked);
        }
        metrics::counter!("orchestratum_sagas_started_total").increment(begun);
        self.parts.saga_waiters.ended(&resting);
        if !changed.is_empty() {
            self.parts.signals.send(Signal::Sagas { sagas: changed });
        }
    }
}

/// Counts a saga that has ended, or has come to a stop of which nobody but a person gets it on.
fn count(status: SagaStatus, before: Option<&Stand>) {
    if before.is_some_and(|before| before.status == status) {
        return;
    }
    if status.is_over() {
        metrics::counter!("orchestratum_sagas_ended_total", "status" => status.as_str()).increment(1);
    } else if status.needs_a_person() {
        metrics::counter!("orchestratum_sagas_stopped_total", "status" => status.as_str()).increment(1);
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

/// Says that a look was given too many.
pub(super) fn overdone(error: &dyn std::error::Error, sagas: usize) {
    tracing::warn!(
        sagas,
        error = %error::chain(error),
        "a look took too many sagas at once: the next takes fewer"
    );
}

/// How many sagas a call was not enough for.
pub(super) fn cut(outcomes: &mut [AdvanceOutcome]) -> usize {
    let looks = outcomes.iter_mut().filter_map(looked);
    looks.map(|advanced| advanced.consequences.cut).sum()
}

pub(super) fn looked(outcome: &mut AdvanceOutcome) -> Option<&mut Advanced> {
    match outcome {
        AdvanceOutcome::Done(advanced)
        | AdvanceOutcome::Repeated(advanced)
        | AdvanceOutcome::Rejected { advanced, .. }
        | AdvanceOutcome::NotThere { advanced }
        | AdvanceOutcome::EventIdReused { advanced, .. }
        | AdvanceOutcome::Left { advanced } => Some(&mut **advanced),
        AdvanceOutcome::NotFound => None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::widths::LOOKED_AT_ONCE;
    use super::*;

    fn sagas(numbers: std::ops::Range<u128>) -> impl Iterator<Item = SagaId> {
        numbers.map(|number| SagaId(Uuid::from_u128(number)))
    }

    fn all(numbers: std::ops::Range<u128>) -> Vec<SagaId> {
        sagas(numbers).collect()
    }

    #[test]
    fn a_saga_that_is_told_of_twice_is_looked_at_once() {
        let driver = Driver::default();
        assert!(driver.add(sagas(0..3), Turn::First), "the first lane");
        assert!(!driver.add(sagas(1..4), Turn::First), "too few for a second one");
        assert!(!driver.add(sagas(0..4), Turn::Again));
        assert_eq!(driver.take(), (all(0..4), Turn::First));
        assert!(driver.take().0.is_empty());
        assert!(driver.add(sagas(0..1), Turn::First), "the lane was over");
    }

    #[tokio::test]
    async fn a_lane_that_panics_is_over() {
        let driver = Arc::new(Driver::default());
        assert!(driver.add(sagas(0..2), Turn::First));
        let lane = Lane(Arc::clone(&driver));
        let running = tokio::spawn(async move {
            let _lane = lane;
            tokio::task::yield_now().await;
            panic!("at the disco");
        });
        assert!(running.await.is_err_and(|error| error.is_panic()));
        assert!(driver.add(sagas(2..3), Turn::First), "there is none");
        assert_eq!(driver.take().0, all(0..3));
    }

    #[test]
    fn a_second_lane_begins_where_it_is_worth_it() {
        let driver = Driver::default();
        assert!(driver.add(sagas(0..1), Turn::First));
        assert!(driver.add(sagas(0..WORTH_A_LANE as u128), Turn::First));
        assert!(!driver.add(sagas(0..1_000), Turn::First), "two are the most");
        assert_eq!(driver.take().0.len(), LOOKED_AT_ONCE);
    }

    #[test]
    fn what_is_tried_again_takes_turns_with_what_is_new() {
        const MANY: u128 = LOOKED_AT_ONCE as u128;
        let driver = Driver::default();
        driver.add(sagas(0..2 * MANY), Turn::First);
        assert_eq!(driver.take(), (all(0..MANY), Turn::First));
        // It came to three of them.
        driver.widths.looked(Turn::First, LOOKED_AT_ONCE, LOOKED_AT_ONCE - 3);
        driver.add(sagas(3..MANY), Turn::Again);
        driver.add(sagas(1_000..1_001), Turn::First);
        assert_eq!(driver.take(), (all(3..6), Turn::Again));
        driver.add(sagas(4..6), Turn::Again);
        assert_eq!(driver.take(), (all(MANY..2 * MANY), Turn::First), "as many as ever");
        assert_eq!(driver.take(), (all(6..9), Turn::Again));
        assert_eq!(driver.take(), (all(1_000..1_001), Turn::First));
        for first in (9..MANY - 3).step_by(3) {
            assert_eq!(driver.take(), (all(first..first + 3), Turn::Again));
        }
    }
}
