//! The one clock, and the only module that reads the machine's.
//!
//! Every decision takes `now` from here: the database's time at the best sample, plus the *monotonic* time since its
//! answer arrived. So all processes agree to within a network round trip, none runs ahead of the database, and a jump of
//! a host's wall clock changes nothing. Only in tests it is moved by hand, and stands still in between.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orchestratum_core::Timestamp;
use orchestratum_store::ManualClock;
use parking_lot::Mutex;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

use crate::identity::TimeOrdered;

/// The longest round trip of a sample that is taken over; it bounds how far a clock may be behind the database. Against
/// the leases it must be short: a worker gives up at 0.8 of its lease, so this has to fit into the rest.
const SAMPLE_MAX_ROUND_TRIP: Duration = Duration::from_millis(300);

/// The shortest sleep of those who wait for a clock that stands still.
const BREATH: Duration = Duration::from_millis(50);

/// A clock is moved no further by hand: a year before the end of the calendar, which nothing that is due must reach.
pub const LATEST: Timestamp = Timestamp::from_micros(253_370_764_800_000_000);

#[derive(Debug, Clone)]
pub struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Source,
    ids: TimeOrdered,
}

#[derive(Debug)]
enum Source {
    Database(Mutex<Sample>),
    Manual {
        clock: ManualClock,
        /// Who reads it keeps it still, who writes it may move it.
        still: RwLock<()>,
    },
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    database: Timestamp,
    answered: Instant,
}

impl Clock {
    /// A clock that goes on from the time the database just answered.
    pub fn from_sample(database: Timestamp) -> Self {
        Self::of(Source::Database(Mutex::new(Sample {
            database,
            answered: monotonic_now(),
        })))
    }

    /// A clock that only a test moves.
    pub fn manual(start: Timestamp) -> Self {
        Self::by_hand(ManualClock::starting_at(start))
    }

    /// The same clock as that of the database.
    pub(crate) fn by_hand(clock: ManualClock) -> Self {
        Self::of(Source::Manual {
            clock,
            still: RwLock::default(),
        })
    }

    fn of(source: Source) -> Self {
        Self(Arc::new(Shared {
            source,
            ids: TimeOrdered::default(),
        }))
    }

    pub(crate) fn ids(&self) -> &TimeOrdered {
        &self.0.ids
    }

    /// Whether it stands still until it is moved.
    pub fn is_manual(&self) -> bool {
        matches!(&self.0.source, Source::Manual { .. })
    }

    pub fn now(&self) -> Timestamp {
        match &self.0.source {
            Source::Database(sample) => {
                let sample = *sample.lock();
                sample.database + monotonic_now().saturating_duration_since(sample.answered)
            }
            Source::Manual { clock, .. } => clock.now(),
        }
    }

    /// Asks the database for its time, and takes it over where the clock is not as good already.
    ///
    /// An answer that was long on its way, or that a frozen process reads late, says little about now: it is not taken
    /// over. The elapsed time is compared explicitly, because a timeout looks at the answer before it looks at the clock.
    pub async fn sample<E>(&self, ask: impl Future<Output = Result<Timestamp, E>>) -> Result<(), E> {
        let asked = monotonic_now();
        let database = ask.await?;
        self.take_over(database, asked, monotonic_now());
        Ok(())
    }

    fn take_over(&self, database: Timestamp, asked: Instant, answered: Instant) {
        match &self.0.source {
            Source::Database(kept) => {
                let round_trip = answered.saturating_duration_since(asked);
                let mut kept = kept.lock();
                // At the answer it is no earlier than the database said, and no later than that by the round trip. A clock
                // that is within these bounds is at least as good: after an answer that was long on its way it would fall
                // behind, and what others see as due would not be due here.
                let goes_on = kept.database + answered.saturating_duration_since(kept.answered);
                let is_right = database <= goes_on && goes_on <= database + round_trip;
                if round_trip <= SAMPLE_MAX_ROUND_TRIP && !is_right {
                    *kept = Sample { database, answered };
                }
            }
            Source::Manual { .. } => {}
        }
    }

    /// A clock that is moved by hand stands still until this is dropped. For whoever writes a new lease: a move lengthens those that it
    /// finds, and one that is written by the time before it, after that, would be over at once. Renewals and heartbeats make no lease
    /// shorter than it is, so they need not wait. Other clocks move by no more than a statement takes.
    pub(crate) async fn still(&self) -> Option<RwLockReadGuard<'_, ()>> {
        match &self.0.source {
            Source::Database(_) => None,
            Source::Manual { still, .. } => Some(still.read().await),
        }
    }

    /// Whoever is to move it by hand waits for those who want it to stand still, and for whoever moves it.
    pub(crate) async fn about_to_move(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match &self.0.source {
            Source::Database(_) => None,
            Source::Manual { still, .. } => Some(still.write().await),
        }
    }

    /// Moves a manual clock; the others take no orders.
    pub fn advance(&self, duration: Duration) {
        if let Source::Manual { clock, .. } = &self.0.source {
            clock.advance(duration);
        }
    }

    /// For those who wait: tells when it was moved by hand.
    pub fn moves(&self) -> Moves {
        let receiver = match &self.0.source {
            Source::Database(_) => None,
            Source::Manual { clock, .. } => Some(clock.moves()),
        };
        Moves {
            receiver,
            is_new: false,
        }
    }

    /// How long to sleep where something is due in `left` of its time. While it stands still nothing becomes due: whoever looks again
    /// takes a breath.
    pub fn sleep_for(&self, left: Duration) -> Duration {
        if self.is_manual() && !left.is_zero() {
            left.max(BREATH)
        } else {
            left
        }
    }

    /// From now on time is measured.
    pub fn begin(&self) -> Beginning {
        Beginning {
            at: monotonic_now(),
            shown: self.now(),
        }
    }

    /// How long ago that was: by monotonic time, or by as much as the clock was moved.
    pub fn since(&self, beginning: Beginning) -> Duration {
        match &self.0.source {
            Source::Database(_) => monotonic_now().saturating_duration_since(beginning.at),
            Source::Manual { clock, .. } => clock.now().saturating_since(beginning.shown),
        }
    }
}

/// When something began that may take only so long.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    at: Instant,
    shown: Timestamp,
}

/// Tells when a clock was moved by hand; others never are.
#[derive(Debug)]
pub struct Moves {
    receiver: Option<watch::Receiver<Timestamp>>,
    is_new: bool,
}

impl Moves {
    /// Completes when the clock was moved since the last time. May be dropped.
    pub async fn next(&mut self) {
        let moved = match &mut self.receiver {
            Some(receiver) => receiver.changed().await.is_ok(),
            None => false,
        };
        if !moved {
            // There is no such clock, or nobody is left who could move it.
            return std::future::pending().await;
        }
        self.is_new = true;
    }

    /// Whether the time that the clock shows is another than at the last call.
    pub(crate) fn take(&mut self) -> bool {
        let moved = self.receiver.as_mut().is_some_and(|receiver| {
            let moved = receiver.has_changed().unwrap_or(false);
            receiver.mark_unchanged();
            moved
        });
        std::mem::take(&mut self.is_new) || moved
    }
}

/// For measuring and for deadlines of our own: never goes back, says nothing about the date.
#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
pub fn monotonic_now() -> Instant {
    Instant::now()
}

/// The number of today (UTC) on this machine's calendar, for the names of files. It decides nothing about tasks.
#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
pub(crate) fn day() -> u64 {
    const SECONDS: u64 = 24 * 3_600;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |elapsed| elapsed.as_secs() / SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_from_the_sample_and_never_before_it() {
        let start = Timestamp::from_micros(1_000_000);
        let clock = Clock::from_sample(start);
        let first = clock.now();
        assert!(first >= start && first < start + Duration::from_secs(10));
        let later = Timestamp::from_micros(5_000_000);
        clock.sample(async { Ok::<_, ()>(later) }).await.expect("answered");
        assert!(clock.now() >= later);
    }

    #[test]
    fn an_answer_that_was_long_on_its_way_is_not_taken_over() {
        let clock = Clock::from_sample(Timestamp::from_micros(1_000_000_000));
        let asked = monotonic_now();
        clock.take_over(
            Timestamp::EPOCH,
            asked,
            asked + SAMPLE_MAX_ROUND_TRIP + Duration::from_millis(1),
        );
        assert!(clock.now() >= Timestamp::from_micros(1_000_000_000));
    }

    #[test]
    fn a_worse_sample_does_not_set_a_good_clock_back() {
        let start = Timestamp::from_micros(1_000_000_000);
        let clock = Clock::from_sample(start);
        let Source::Database(kept) = &clock.0.source else {
            panic!("it is of a database");
        };
        let begun = kept.lock().answered;
        let sample = |said_after: u64, asked_after: u64, answered_after: u64| {
            let at = |milliseconds| begun + Duration::from_millis(milliseconds);
            clock.take_over(
                start + Duration::from_millis(said_after),
                at(asked_after),
                at(answered_after),
            );
            let kept = *kept.lock();
            kept.database + at(answered_after).saturating_duration_since(kept.answered)
        };
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        // Said when the question had just arrived, read 200 ms later.
        assert_eq!(sample(1_001, 1_000, 1_200), after(1_200), "it is not set back");
        assert_eq!(sample(2_050, 2_000, 2_001), after(2_050), "it was behind");
        assert_eq!(
            sample(2_500, 3_000, 3_001),
            after(2_500),
            "the database's own clock was set back"
        );
    }

    #[tokio::test]
    async fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp::EPOCH);
        clock
            .sample(async { Ok::<_, ()>(Timestamp::MAX) })
            .await
            .expect("answered");
        assert_eq!(clock.now(), Timestamp::EPOCH);
        let (mut moves, began) = (clock.moves(), clock.begin());
        assert!(!moves.take());
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now(), Timestamp::from_micros(2_000_000));
        assert_eq!(clock.since(began), Duration::from_secs(2));
        moves.next().await;
        assert!(moves.take() && !moves.take(), "each move is told once");
        clock.advance(Duration::from_secs(1));
        assert!(moves.take(), "also to one who did not wait for it");
    }

    #[test]
    fn whoever_waits_for_a_clock_that_stands_still_looks_now_and_then() {
        let soon = Duration::from_micros(1);
        let manual = Clock::manual(Timestamp::EPOCH);
        assert_eq!(manual.sleep_for(soon), BREATH, "it does not become due by waiting");
        assert_eq!(manual.sleep_for(Duration::ZERO), Duration::ZERO);
        assert_eq!(Clock::from_sample(Timestamp::EPOCH).sleep_for(soon), soon);
    }
}
