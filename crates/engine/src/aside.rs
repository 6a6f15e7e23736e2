//! What may compute for long, aside of the threads that serve requests, and little of it at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::Error;

/// How much of one kind is computed at a time: all else goes on beside it.
const PLACES: usize = 2;

/// How long a request waits for a place.
const PATIENCE: Duration = Duration::from_secs(5);

/// Places for one kind of computation.
#[derive(Debug)]
pub(crate) struct Aside(Arc<Semaphore>);

impl Default for Aside {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl Aside {
    /// Computes as soon as there is a place. Where the caller goes away the place is taken until the end all the same: nothing stops
    /// a computation.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no place becomes free in time.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let waiting = timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await;
        let place = waiting.map_err(|_| Error::Overloaded)?.map_err(|_| Error::Stopping)?;
        let computing = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        computing.await.map_err(|_| Error::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_so_much_is_computed_at_a_time_and_nobody_waits_for_ever() {
        let aside = Arc::new(Aside::default());
        let mut going_on = Vec::new();
        let mut running = Vec::new();
        for _ in 0..PLACES {
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            let (go_on, may_go_on) = mpsc::channel::<()>();
            let aside = Arc::clone(&aside);
            running.push(tokio::spawn(async move {
                let work = move || {
                    begun.send(()).expect("it is waited for");
                    may_go_on.recv()
                };
                aside.compute(work).await
            }));
            has_begun.await.expect("there is a place");
            going_on.push(go_on);
        }
        // While something computes, the paused clock moves only as it is told.
        let third = Arc::clone(&aside);
        let third = tokio::spawn(async move { third.compute(|| 3).await });
        tokio::task::yield_now().await;
        tokio::time::advance(PATIENCE).await;
        assert!(matches!(third.await, Ok(Err(Error::Overloaded))));
        drop(going_on);
        for one in running {
            assert!(matches!(one.await, Ok(Ok(Err(mpsc::RecvError)))));
        }
        assert!(matches!(aside.compute(|| 4).await, Ok(4)));
    }

    #[tokio::test]
    async fn what_panics_gives_its_place_back() {
        let aside = Aside::default();
        for _ in 0..=PLACES {
            let failed = aside.compute(|| panic!("as it is asked to")).await;
            assert!(matches!(failed, Err(Error::Panicked)));
        }
    }
}
