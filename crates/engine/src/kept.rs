//! Answers of the database that are asked for often, by dashboards and probes.
//!
//! Nobody may load the database by asking often. One question is under way at a time, also when whoever asked it has
//! gone.
//!
//! Of figures, whose cost grows with what is stored, an answer that was dear is kept for many times as long as it took:
//! so all who ask together cost a twentieth of one connection, or half of one while it fails. Where it is cheap, which is
//! nearly everywhere, nothing is kept and every answer is of this moment. What anyone may ask without a key is kept for a
//! moment, whatever it cost.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Error;

/// What took no longer is asked for again each time.
const CHEAP: Duration = Duration::from_millis(50);

/// How many times as long as it took an answer is kept.
const KEPT_TIMES: u32 = 20;

/// For how long an answer is given again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keeping {
    /// Not at all while it is cheap. A failure that was dear is no answer, and not repeated for as long as it took.
    ManyTimesItsCost,
    For(Duration),
}

#[derive(Debug)]
pub(crate) struct Kept<T> {
    keeping: Keeping,
    asking: Arc<tokio::sync::Mutex<()>>,
    last: Mutex<Last<T>>,
    /// How long a caller waits for the others' question.
    patience: Duration,
}

#[derive(Debug)]
struct Last<T> {
    answer: Option<(T, Instant)>,
    /// A question that failed after a long time is not asked again at once.
    failed_until: Option<Instant>,
    /// How often the answer was taken for outdated: one that was asked for before is not kept.
    outdated: u64,
}

impl<T: Clone + Send + 'static> Kept<T> {
    pub(crate) fn new(keeping: Keeping, patience: Duration) -> Self {
        Self {
            keeping,
            asking: Arc::default(),
            last: Mutex::new(Last {
                answer: None,
                failed_until: None,
                outdated: 0,
            }),
            patience,
        }
    }

    /// The answer that is kept, or a new one.
    ///
    /// # Errors
    /// Those of the question, and [`Error::Overloaded`] if the others' takes too long, or took too long just now.
    pub(crate) async fn or_ask(
        self: &Arc<Self>,
        question: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let alone = tokio::time::timeout(self.patience, Arc::clone(&self.asking).lock_owned())
            .await
            .map_err(|_| Error::Overloaded)?;
        let outdated = {
            let last = self.last.lock();
            match &last.answer {
                Some((answer, until)) if Instant::now() < *until => return Ok(answer.clone()),
                _ if last.failed_until.is_some_and(|until| Instant::now() < until) => return Err(Error::Overloaded),
                _ => last.outdated,
            }
        };
        let kept = Arc::clone(self);
        // A task of its own: a question that ended with whoever asked it would go on in the database, and the next would
        // be asked beside it.
        let asked = tokio::spawn(async move {
            let _alone = alone;
            let asked_at = Instant::now();
            let answer = question.await;
            kept.keep(&answer, asked_at.elapsed(), outdated);
            answer
        });
        asked.await.unwrap_or(Err(Error::Panicked))
    }

    fn keep(&self, answer: &Result<T, Error>, took: Duration, outdated: u64) {
        let dear = took > CHEAP;
        let kept_for = match self.keeping {
            Keeping::ManyTimesItsCost => dear.then(|| took * KEPT_TIMES),
            Keeping::For(duration) => Some(duration),
        };
        let mut last = self.last.lock();
        let kept_for = kept_for.filter(|_| last.outdated == outdated);
        last.answer = match (answer, kept_for) {
            (Ok(answer), Some(duration)) => Some((answer.clone(), Instant::now() + duration)),
            _ => None,
        };
        last.failed_until = (dear && answer.is_err()).then(|| Instant::now() + took);
    }

    /// Something changed that whoever changed it expects to see.
    pub(crate) fn outdate(&self) {
        let mut last = self.last.lock();
        last.answer = None;
        last.outdated += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Figures {
        kept: Arc<Kept<u32>>,
        asked: Arc<AtomicU32>,
        cost: Duration,
    }

    impl Figures {
        fn new(cost: Duration, patience: Duration) -> Self {
            Self {
                kept: Arc::new(Kept::new(Keeping::ManyTimesItsCost, patience)),
                asked: Arc::default(),
                cost,
            }
        }

        async fn read(&self) -> Result<u32, Error> {
            let (asked, cost) = (Arc::clone(&self.asked), self.cost);
            let question = async move {
                tokio::time::sleep(cost).await;
                Ok(asked.fetch_add(1, Ordering::Relaxed) + 1)
            };
            self.kept.or_ask(question).await
        }
    }

    const DEAR: Duration = Duration::from_millis(100);
    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_dear_answer_is_kept_for_many_times_as_long_as_it_took() {
        let figures = Figures::new(DEAR, PATIENCE);
        let (first, second) = tokio::join!(figures.read(), figures.read());
        assert_eq!((first.expect("an answer"), second.expect("an answer")), (1, 1));
        let until = figures.kept.last.lock().answer.as_ref().expect("it is kept").1;
        assert!(until.saturating_duration_since(Instant::now()) > DEAR * (KEPT_TIMES - 5));
        tokio::time::sleep_until(until).await;
        assert_eq!(figures.read().await.expect("an answer"), 2);
    }

    #[tokio::test]
    async fn a_cheap_answer_is_of_this_moment() {
        let figures = Figures::new(Duration::ZERO, PATIENCE);
        assert_eq!(figures.read().await.expect("an answer"), 1);
        assert_eq!(figures.read().await.expect("an answer"), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_kept_for_a_moment_is_so_however_cheap_and_however_dear_it_was() {
        for cost in [Duration::ZERO, DEAR] {
            let figures = Figures {
                kept: Arc::new(Kept::new(Keeping::For(DEAR), PATIENCE)),
                ..Figures::new(cost, PATIENCE)
            };
            for expected in [1, 1, 2, 2] {
                assert_eq!(figures.read().await.expect("an answer"), expected);
                tokio::time::advance(DEAR / 2).await;
            }
        }
    }

    #[tokio::test]
    async fn an_outdated_answer_is_not_kept_even_if_it_was_on_its_way() {
        let figures = Figures::new(DEAR, PATIENCE);
        let (first, ()) = tokio::join!(figures.read(), async { figures.kept.outdate() });
        assert_eq!(first.expect("an answer"), 1);
        assert_eq!(figures.read().await.expect("an answer"), 2);
        figures.kept.outdate();
        assert_eq!(figures.read().await.expect("an answer"), 3);
    }

    #[tokio::test]
    async fn nobody_waits_longer_for_others_than_a_question_may_take() {
        let figures = Figures::new(DEAR * 3, DEAR);
        let (first, second) = tokio::join!(figures.read(), figures.read());
        assert_eq!(first.expect("an answer"), 1);
        assert!(matches!(second, Err(Error::Overloaded)));
    }

    #[tokio::test]
    async fn a_question_outlives_whoever_asked_it() {
        let figures = Figures::new(DEAR, PATIENCE);
        tokio::select! {
            _ = figures.read() => panic!("the answer is dear"),
            () = tokio::time::sleep(DEAR / 10) => {}
        }
        assert_eq!(figures.read().await.expect("the first answer"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dear_failure_is_not_repeated_at_once() {
        let kept: Arc<Kept<u32>> = Arc::new(Kept::new(Keeping::ManyTimesItsCost, PATIENCE));
        let failing = || async {
            tokio::time::sleep(DEAR).await;
            Err(Error::Stopping)
        };
        assert!(matches!(kept.or_ask(failing()).await, Err(Error::Stopping)));
        assert!(matches!(kept.or_ask(failing()).await, Err(Error::Overloaded)));
        tokio::time::sleep(DEAR).await;
        assert!(matches!(kept.or_ask(failing()).await, Err(Error::Stopping)));
    }
}
