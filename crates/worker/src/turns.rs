//! How many tasks of a lane run at a time, and how many more are claimed while those run.
//!
//! A claim and a report cost the database about as much for one task as for twenty. Where each task takes hours that is
//! nothing; where each takes two milliseconds it is most of what there is to do. So a lane whose tasks were short lately
//! claims a few more than it can run, and they wait here for their turn; the next are claimed when half of them are gone,
//! and while some wait, reports go out together, at a beat. That is a guess about tasks that nobody has run yet: one that has
//! waited too long is handed back for other workers, and nothing is claimed ahead until tasks are short again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

/// How much work may wait for each turn, as far as the tasks before it tell.
const AHEAD: Duration = Duration::from_millis(80);
const AHEAD_MOST: usize = 64;

/// How long a task may wait for its turn.
const PATIENCE: Duration = Duration::from_millis(200);

/// How far apart reports go out while tasks wait for their turn.
const BEAT: Duration = Duration::from_millis(20);

/// What a turn is taken to last before any has: nothing is claimed ahead.
const UNKNOWN: Duration = Duration::from_secs(1);

/// The weight of the last turn in the average is one in so many.
const WEIGHT: u64 = 8;

#[derive(Debug)]
pub(crate) struct Turns {
    total: usize,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// From which beats are counted.
    began: Instant,
    /// The moving average of how long turns lasted.
    usual_microseconds: AtomicU64,
}

/// The right to run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            running: Arc::new(Semaphore::new(total)),
            waiting: AtomicUsize::new(0),
            began: Instant::now(),
            usual_microseconds: AtomicU64::new(microseconds(UNKNOWN)),
        })
    }

    /// How many tasks may be claimed beside those that run.
    pub(crate) fn ahead(&self) -> usize {
        let usual = self.usual_microseconds.load(Ordering::Relaxed).max(1);
        let each = usize::try_from(microseconds(AHEAD) / usual).unwrap_or(AHEAD_MOST);
        each.saturating_mul(self.total).min(AHEAD_MOST)
    }

    /// Waits for a turn, which go round in the order of asking. `None`: it did not come, and the task is to be handed back.
    pub(crate) async fn next(self: &Arc<Self>) -> Option<Turn> {
        let waiting = Waiting::among(self);
        let permit = timeout(PATIENCE, Arc::clone(&self.running).acquire_owned()).await;
        drop(waiting);
        let Ok(permit) = permit else {
            // The guess was wrong. Otherwise the same tasks would be claimed and handed back over and over.
            self.usual_microseconds.store(microseconds(UNKNOWN), Ordering::Relaxed);
            return None;
        };
        Some(Turn {
            turns: Arc::clone(self),
            since: Instant::now(),
            _permit: permit.expect("it is never closed"),
        })
    }

    /// How much room is worth a claim. While turns are taken and others wait for them, a claim of a few can wait, too: each
    /// of those who wait gives a slot back when it is over, which wakes the lane, and while fewer than half of those ahead
    /// wait there is room for the other half.
    pub(crate) fn worth_a_claim(&self) -> usize {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.ahead() / 2
        } else {
            1
        }
    }

    /// Waits, while tasks wait for their turn, for the next beat: reports that go out together cost the database little more
    /// than one.
    pub(crate) async fn beat(&self) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        // One look at the clock: those who wait for the same beat wait for the same moment, and not for two of the timer's.
        let beats = self.began.elapsed().as_nanos() / BEAT.as_nanos() + 1;
        sleep_until(self.began + BEAT * u32::try_from(beats).unwrap_or(u32::MAX)).await;
    }
}

/// One that waits for its turn, until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(turns: &'a Turns) -> Self {
        turns.waiting.fetch_add(1, Ordering::Relaxed);
        Self(&turns.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let last = microseconds(self.since.elapsed());
        let average = |usual: u64| Some(usual - usual / WEIGHT + last / WEIGHT);
        // Always `Ok`, as there always is a new value.
        let _ = self
            .turns
            .usual_microseconds
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, average);
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    async fn run(turns: &Arc<Turns>, count: u32, each: Duration) {
        for _ in 0..count {
            let turn = turns.next().await.expect("a turn is free");
            advance(each).await;
            drop(turn);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_claimed_ahead_before_tasks_were_short() {
        let turns = Turns::new(2);
        assert_eq!(turns.ahead(), 0);
        run(&turns, 100, Duration::from_millis(5)).await;
        assert!((24..=32).contains(&turns.ahead()), "80 ms for each of two");
        run(&turns, 100, Duration::from_micros(100)).await;
        assert_eq!(turns.ahead(), AHEAD_MOST);
        run(&turns, 20, Duration::from_millis(200)).await;
        assert_eq!(turns.ahead(), 0, "they are long now");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_has_no_turn_and_nobody_is_claimed_ahead_behind_it() {
        let turns = Turns::new(1);
        run(&turns, 100, Duration::from_millis(1)).await;
        let long = turns.next().await.expect("a turn is free");
        assert!(turns.ahead() > 0);
        assert!(turns.next().await.is_none());
        assert_eq!(turns.ahead(), 0);
        drop(long);
        assert!(turns.next().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_ends_is_the_next_ones() {
        let turns = Turns::new(1);
        let first = turns.next().await.expect("a turn is free");
        let (second, ()) = tokio::join!(turns.next(), async {
            advance(PATIENCE / 2).await;
            drop(first);
        });
        assert!(second.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn while_tasks_wait_the_next_are_claimed_when_half_of_them_are_gone() {
        let turns = Turns::new(1);
        run(&turns, 100, Duration::from_millis(1)).await;
        let running = turns.next().await.expect("a turn is free");
        assert_eq!(turns.worth_a_claim(), 1, "nobody waits");
        let waiting = turns.next();
        tokio::pin!(waiting);
        assert!(timeout(Duration::ZERO, waiting.as_mut()).await.is_err());
        assert_eq!(turns.worth_a_claim(), AHEAD_MOST / 2);
        drop(running);
        let next = waiting.await;
        assert!(next.is_some());
        assert_eq!(turns.worth_a_claim(), 1, "nobody waits any more");
    }

    #[tokio::test(start_paused = true)]
    async fn no_room_is_kept_back_where_nothing_is_claimed_ahead() {
        let turns = Turns::new(1);
        let running = turns.next().await.expect("a turn is free");
        let waiting = turns.next();
        tokio::pin!(waiting);
        assert!(timeout(Duration::ZERO, waiting.as_mut()).await.is_err());
        assert_eq!(turns.ahead(), 0);
        assert_eq!(turns.worth_a_claim(), 0, "whatever room there is");
        drop(running);
    }

    #[tokio::test(start_paused = true)]
    async fn while_tasks_wait_reports_go_out_together_at_the_next_beat() {
        const PART: Duration = Duration::from_millis(4);
        let turns = Turns::new(1);
        let began = Instant::now();
        let running = turns.next().await.expect("a turn is free");
        let waiting = turns.next();
        tokio::pin!(waiting);
        assert!(timeout(Duration::ZERO, waiting.as_mut()).await.is_err());
        for beat in 1..=3 {
            advance(PART).await;
            let first = async {
                turns.beat().await;
                began.elapsed()
            };
            let second = async {
                advance(PART).await;
                turns.beat().await;
                began.elapsed()
            };
            let (first, second) = tokio::join!(first, second);
            assert_eq!(first, second, "they go out at the same moment");
            let expected = BEAT * beat;
            // The timer counts in milliseconds.
            assert!(
                (expected..expected + Duration::from_millis(2)).contains(&first),
                "{first:?} for {expected:?}"
            );
        }
        drop(running);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_goes_out_at_once_while_nobody_waits() {
        let turns = Turns::new(1);
        let running = turns.next().await.expect("a turn is free");
        advance(BEAT / 3).await;
        let before = Instant::now();
        turns.beat().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        drop(running);
    }
}
