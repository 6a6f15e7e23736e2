//! Looking at sagas that something has reached: the end of a task, a timer, another saga.
//!
//! Whoever commits such a row looks at once, in the same process (the fast path); what a process that dies leaves is found by the
//! loop for sagas. A look takes whatever has gathered while the last one was in the database, each saga once.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Input, SagaStatus};
use orchestratum_core::task::TaskEvent;
use orchestratum_store::{
    Advance, AdvanceOutcome, Advanced, ClaimedTask, Consequences, NewSaga, SagaOffer, Stand, StartOutcome, Store,
};
use parking_lot::Mutex;

use crate::announce::hint;
use crate::batcher::{Batcher, Bounds, Weight, caught};
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

/// Whether it is the first time that it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    /// Others before it were enough for a look. These have a line of their own: whatever costs little does not wait behind them.
    Again,
}

/// How many sagas the next look takes. One that costs much does not come to all of them: what it has read of the others is read
/// again, so fewer are tried then, and more again where all were looked at.
#[derive(Debug)]
struct Width(AtomicUsize);

impl Default for Width {
    fn default() -> Self {
        Self(AtomicUsize::new(LOOKED_AT_ONCE))
    }
}

impl Width {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn narrow(&self, most: usize) {
        self.0.fetch_min(most, Ordering::Relaxed);
    }

    /// So many were tried, and so many of them not looked at to the end.
    fn learn(&self, tried: usize, cut: usize) {
        let width = self.get();
        if cut > 0 {
            self.0.store(tried.saturating_sub(cut).max(1), Ordering::Relaxed);
        } else if tried >= width && width < LOOKED_AT_ONCE {
            self.0.store((width * 2).min(LOOKED_AT_ONCE), Ordering::Relaxed);
        }
    }
}

/// Those of the first and of the later tries.
#[derive(Debug, Default)]
pub(crate) struct Widths {
    first: Width,
    again: Width,
}

impl Widths {
    const fn of(&self, turn: Turn) -> &Width {
        match turn {
            Turn::First => &self.first,
            Turn::Again => &self.again,
        }
    }

    /// First tries stay as wide as they are: what they do not come to is tried again, and those that cost little get through.
    fn looked(&self, turn: Turn, tried: usize, cut: usize) {
        if turn == Turn::First {
            self.first.learn(tried, 0);
        }
        if turn == Turn::Again || cut > 0 {
            self.again.learn(tried, cut);
        }
    }

    /// So many were too many at once: they took too long, or are too large. Those that are tried again are fewer, too.
    fn overdone(&self, turn: Turn, tried: usize) {
        let fewer = (tried / 2).max(1);
        self.of(turn).narrow(fewer);
        self.again.narrow(fewer);
    }
}

/// What became of a look that a caller waits for.
#[derive(Debug)]
pub(crate) enum Tried {
    Looked(AdvanceOutcome),
    /// Others were enough for one transaction: ask again.
    Not,
}

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
            Err(error) => {
                tracing::debug!(saga.id = %saga, error = %error::chain(&error), "a saga is looked at once more");
                self.look_at_sagas([saga]);
                Err(error.into())
            }
        }
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
        metrics::counter!("orchestratum_sagas_started_total").increment(started.len() as u64);
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
                again,
                cut: _,
                next_timer,
                next_due,
            } = std::mem::take(consequences);
            let is_changed = before
                .as_ref()
                .is_none_or(|before| before.version != saga.instance.version);
            if is_changed {
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
    (turn, widths): (Turn, &Arc<Widths>),
) -> Batcher<Advance, Tried> {
    let (store, clock, widths) = (Arc::clone(store), clock.clone(), Arc::clone(widths));
    Batcher::start(LOOKS, look_weight, move |advances: Arc<Vec<Advance>>| {
        let (store, clock, engine) = (Arc::clone(&store), clock.clone(), Weak::clone(&engine));
        let widths = Arc::clone(&widths);
        async move {
            let tried = widths.of(turn).get().min(advances.len());
            let mut outcomes = match store.advance_sagas(&advances[..tried], clock.now()).await {
                Ok(outcomes) => outcomes,
                // Nothing was done, and fewer at once may do. Who is alone is told, and who has waited for two that took too long:
                // the database may be away.
                Err(error) if error.is_of_many() && tried > 1 => {
                    overdone(&error, tried);
                    widths.overdone(turn, tried);
                    if error.is_timeout() && turn == Turn::Again {
                        return Err(error);
                    }
                    return Ok(advances.iter().map(|_| Tried::Not).collect());
                }
                Err(error) => return Err(error),
            };
            widths.looked(turn, tried, cut(&mut outcomes));
            if let Some(parts) = engine.upgrade() {
                Engine { parts }.after_looks(outcomes.iter_mut().filter_map(looked));
            }
            let looked = outcomes.into_iter().map(|outcome| match outcome {
                AdvanceOutcome::Left { .. } => Tried::Not,
                outcome => Tried::Looked(outcome),
            });
            let not = std::iter::repeat_with(|| Tried::Not).take(advances.len() - tried);
            Ok(looked.chain(not).collect())
        }
    })
}

pub(super) fn start_weight(saga: &NewSaga) -> Weight {
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

fn overdone(error: &dyn std::error::Error, sagas: usize) {
    tracing::warn!(
        sagas,
        error = %error::chain(error),
        "a look took too many sagas at once: the next takes fewer"
    );
}

/// How many sagas a call was not enough for.
fn cut(outcomes: &mut [AdvanceOutcome]) -> usize {
    let looks = outcomes.iter_mut().filter_map(looked);
    looks.map(|advanced| advanced.consequences.cut).sum()
}

fn looked(outcome: &mut AdvanceOutcome) -> Option<&mut Advanced> {
    match outcome {
        AdvanceOutcome::Done(advanced)
        | AdvanceOutcome::Repeated(advanced)
        | AdvanceOutcome::Rejected { advanced, .. }
        | AdvanceOutcome::VersionMismatch { advanced }
        | AdvanceOutcome::EventIdReused { advanced, .. }
        | AdvanceOutcome::Left { advanced } => Some(&mut **advanced),
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

    #[test]
    fn what_was_too_many_at_once_is_tried_again_with_fewer() {
        let widths = Widths::default();
        widths.overdone(Turn::First, LOOKED_AT_ONCE);
        assert_eq!((widths.first.get(), widths.again.get()), (128, 128));
        widths.overdone(Turn::Again, 3);
        assert_eq!((widths.first.get(), widths.again.get()), (128, 1));
        widths.overdone(Turn::First, 128);
        assert_eq!((widths.first.get(), widths.again.get()), (64, 1), "never wider");
    }

    #[test]
    fn looks_take_as_many_sagas_as_they_come_to() {
        let width = Width::default();
        width.learn(200, 0);
        assert_eq!(width.get(), LOOKED_AT_ONCE);
        width.learn(200, 197);
        assert_eq!(width.get(), 3);
        width.learn(3, 3);
        assert_eq!(width.get(), 1, "there is always one");
        width.learn(1, 0);
        width.learn(1, 0);
        assert_eq!(width.get(), 2, "a look at fewer tells nothing");
        for _ in 0..10 {
            width.learn(width.get(), 0);
        }
        assert_eq!(width.get(), LOOKED_AT_ONCE);
    }
}
