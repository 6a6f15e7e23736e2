//! Figures whose cost grows with what is stored, asked for by dashboards.
//!
//! Nobody may load the database by asking often. One question is under way at a time, and an answer that was dear is
//! kept for many times as long as it took: so all who ask together cost a twentieth of one connection at most. Where it
//! is cheap, which is nearly everywhere, nothing is kept and every answer is of this moment.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Error;

/// What took no longer is asked for again each time.
const CHEAP: Duration = Duration::from_millis(50);

/// How many times as long as it took an answer is kept.
const KEPT_TIMES: u32 = 20;

#[derive(Debug)]
pub(crate) struct Kept<T> {
    asking: tokio::sync::Mutex<()>,
    last: Mutex<Last<T>>,
    /// How long a caller waits for the others' question.
    patience: Duration,
}

#[derive(Debug)]
struct Last<T> {
    answer: Option<(T, Instant)>,
    /// How often the answer was taken for outdated: one that was asked for before is not kept.
    outdated: u64,
}

impl<T: Clone> Kept<T> {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            asking: tokio::sync::Mutex::default(),
            last: Mutex::new(Last {
                answer: None,
                outdated: 0,
            }),
            patience,
        }
    }

    /// The answer that is kept, or a new one.
    ///
    /// # Errors
    /// Those of the question, and [`Error::Overloaded`] if the others' takes too long.
    pub(crate) async fn or_ask(&self, question: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let _alone = tokio::time::timeout(self.patience, self.asking.lock())
            .await
            .map_err(|_| Error::Overloaded)?;
        let outdated = {
            let last = self.last.lock();
            match &last.answer {
                Some((answer, until)) if Instant::now() < *until => return Ok(answer.clone()),
                _ => last.outdated,
            }
        };
        let asked_at = Instant::now();
        let answer = question.await?;
        let took = asked_at.elapsed();
        let mut last = self.last.lock();
        last.answer =
            (took > CHEAP && last.outdated == outdated).then(|| (answer.clone(), Instant::now() + took * KEPT_TIMES));
        Ok(answer)
    }

    /// Something changed that whoever changed it expects to see.
    pub(crate) fn is_outdated(&self) {
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
        kept: Kept<u32>,
        asked: AtomicU32,
        cost: Duration,
    }

    impl Figures {
        fn new(cost: Duration, patience: Duration) -> Self {
            Self {
                kept: Kept::new(patience),
                asked: AtomicU32::new(0),
                cost,
            }
        }

        async fn read(&self) -> Result<u32, Error> {
            let question = async {
                tokio::time::sleep(self.cost).await;
                Ok(self.asked.fetch_add(1, Ordering::Relaxed) + 1)
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

    #[tokio::test]
    async fn an_outdated_answer_is_not_kept_even_if_it_was_on_its_way() {
        let figures = Figures::new(DEAR, PATIENCE);
        let (first, ()) = tokio::join!(figures.read(), async { figures.kept.is_outdated() });
        assert_eq!(first.expect("an answer"), 1);
        assert_eq!(figures.read().await.expect("an answer"), 2);
        figures.kept.is_outdated();
        assert_eq!(figures.read().await.expect("an answer"), 3);
    }

    #[tokio::test]
    async fn nobody_waits_longer_for_others_than_a_question_may_take() {
        let figures = Figures::new(DEAR * 3, DEAR);
        let (first, second) = tokio::join!(figures.read(), figures.read());
        assert_eq!(first.expect("an answer"), 1);
        assert!(matches!(second, Err(Error::Overloaded)));
    }
}
