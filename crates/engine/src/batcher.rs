//! Natural batching: the one small actor every hot path goes through.
//!
//! ```text
//!   caller ──┐
//!   caller ──┼──► queue ──► lane 1: one batch in flight
//!   caller ──┘         └──► lane 2: one batch in flight
//! ```
//!
//! A lane takes whatever has queued up while it was busy, performs it as one batch and answers each caller. There is no
//! timer: an idle system pays no delay, and under load the batches grow by themselves to what the database can take.
//! The work runs in the lane, not in the caller: a caller that goes away cancels nothing half-way. A batch that panics
//! takes no lane with it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use orchestratum_store as store;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::error::panic_message;

/// How much one request adds to a batch.
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    pub rows: usize,
    pub bytes: usize,
}

/// The bounds of one batcher.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many batches may be in flight.
    pub lanes: usize,
    /// A batch stops growing here; a single larger request goes alone.
    pub batch: Weight,
    /// How many requests may wait; more are turned away.
    pub waiting: usize,
    /// How many bytes the requests without an answer may have, those of the batches in flight included. One that is
    /// larger by itself is served when nothing else is there.
    pub held_bytes: usize,
}

impl Bounds {
    /// Two lanes: while one batch is in the database the next one is on its way.
    pub const HOT_PATH: Self = Self {
        lanes: 2,
        batch: Weight {
            rows: 1_000,
            bytes: 4 << 20,
        },
        waiting: 20_000,
        // Less than a second's work of any database, and nothing that could use up the memory of a small machine.
        held_bytes: 64 << 20,
    };
}

/// Why a request got no answer of its own.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// More is waiting than can be served soon.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopped,
    /// The work on this request panicked. Whether it was done is not known.
    #[error("the work on the request panicked")]
    Panicked,
    #[error(transparent)]
    Store(Arc<store::Error>),
}

struct Item<Request, Answer> {
    request: Request,
    weight: Weight,
    caller: Caller<Answer>,
}

struct Caller<Answer> {
    answer: oneshot::Sender<Result<Answer, Error>>,
    /// Counted until the answer is given: a batch in flight uses memory like one that waits.
    _held: HeldBytes,
}

/// A share of the bytes a batcher may hold, until it is dropped.
struct HeldBytes {
    all: Arc<AtomicUsize>,
    share: usize,
}

impl HeldBytes {
    fn take(all: &Arc<AtomicUsize>, share: usize, most: usize) -> Option<Self> {
        let fits = |held: usize| (held == 0 || held.saturating_add(share) <= most).then(|| held.saturating_add(share));
        all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Self {
            all: Arc::clone(all),
            share,
        })
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.all.fetch_sub(self.share, Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub struct Batcher<Request, Answer> {
    queue: mpsc::Sender<Item<Request, Answer>>,
    weigh: fn(&Request) -> Weight,
    held_bytes: Arc<AtomicUsize>,
    most_held_bytes: usize,
}

/// The receiving end, shared by the lanes.
struct Intake<Request, Answer> {
    queue: mpsc::Receiver<Item<Request, Answer>>,
    /// Taken from the queue, but too much for the batch it came upon.
    carried: Option<Item<Request, Answer>>,
}

impl<Request, Answer> Batcher<Request, Answer>
where
    Request: Send + Sync + 'static,
    Answer: Send + 'static,
{
    /// Starts the lanes. `perform` gets a batch and answers each request of it, in order.
    pub fn start<Perform, Performing>(bounds: Bounds, weigh: fn(&Request) -> Weight, perform: Perform) -> Self
    where
        Perform: Fn(Arc<Vec<Request>>) -> Performing + Clone + Send + Sync + 'static,
        Performing: Future<Output = Result<Vec<Answer>, store::Error>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(bounds.waiting);
        let intake = Arc::new(Mutex::new(Intake {
            queue: receiver,
            carried: None,
        }));
        for _ in 0..bounds.lanes {
            let intake = Arc::clone(&intake);
            let perform = perform.clone();
            tokio::spawn(async move {
                while let Some(batch) = next_batch(&intake, bounds.batch).await {
                    serve(batch, &perform).await;
                }
            });
        }
        Self {
            queue: sender,
            weigh,
            held_bytes: Arc::default(),
            most_held_bytes: bounds.held_bytes,
        }
    }

    /// Waits for a place in a batch and for its answer.
    pub async fn submit(&self, request: Request) -> Result<Answer, Error> {
        let answered = self.enqueue(request)?;
        answered.await.unwrap_or(Err(Error::Stopped))
    }

    /// Leaves a request whose answer nobody needs; `false` if there is no room for it.
    pub fn leave(&self, request: Request) -> bool {
        self.enqueue(request).is_ok()
    }

    fn enqueue(&self, request: Request) -> Result<oneshot::Receiver<Result<Answer, Error>>, Error> {
        let weight = (self.weigh)(&request);
        let held = HeldBytes::take(&self.held_bytes, weight.bytes, self.most_held_bytes).ok_or(Error::Overloaded)?;
        let (answer, answered) = oneshot::channel();
        let item = Item {
            request,
            weight,
            caller: Caller { answer, _held: held },
        };
        self.queue.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Stopped,
        })?;
        Ok(answered)
    }
}

async fn next_batch<Request, Answer>(
    intake: &Mutex<Intake<Request, Answer>>,
    most: Weight,
) -> Option<Vec<Item<Request, Answer>>> {
    // Waiting for the first request under the lock is right: another lane could only wait for the same.
    let mut intake = intake.lock().await;
    let first = match intake.carried.take() {
        Some(item) => item,
        None => intake.queue.recv().await?,
    };
    let mut total = first.weight;
    let mut batch = vec![first];
    while let Ok(item) = intake.queue.try_recv() {
        total = Weight {
            rows: total.rows + item.weight.rows,
            bytes: total.bytes + item.weight.bytes,
        };
        if total.rows > most.rows || total.bytes > most.bytes {
            intake.carried = Some(item);
            break;
        }
        batch.push(item);
    }
    Some(batch)
}

async fn serve<Request, Answer, Perform, Performing>(batch: Vec<Item<Request, Answer>>, perform: &Perform)
where
    Perform: Fn(Arc<Vec<Request>>) -> Performing,
    Performing: Future<Output = Result<Vec<Answer>, store::Error>>,
{
    // A batch that the database refuses, or that panics, is halved until the culprit is alone, so that nobody else pays
    // for it. What a panic left done is met by its repetition as after a lost answer: ids and fences are the requests'.
    let mut stack = vec![batch];
    while let Some(batch) = stack.pop() {
        let mut requests = Vec::with_capacity(batch.len());
        let mut callers = Vec::with_capacity(batch.len());
        for Item {
            request,
            weight,
            caller,
        } in batch
        {
            requests.push(request);
            callers.push((caller, weight));
        }
        let requests = Arc::new(requests);
        // Nothing that a panic could leave half-way is used after it: the future is gone, the requests are not changed.
        let performing = AssertUnwindSafe(async { perform(Arc::clone(&requests)).await });
        let failure = match performing.catch_unwind().await {
            Ok(Ok(answers)) => {
                debug_assert_eq!(answers.len(), callers.len(), "one answer a request");
                for ((caller, _), answer) in callers.into_iter().zip(answers) {
                    // A caller that went away needs no answer.
                    let _ = caller.answer.send(Ok(answer));
                }
                continue;
            }
            Ok(Err(error)) => Failure::Store(error),
            Err(panic) => {
                tracing::error!(
                    panic = panic_message(panic.as_ref()),
                    requests = callers.len(),
                    "a batch panicked"
                );
                metrics::counter!("orchestratum_panics_total", "part" => "batch").increment(1);
                Failure::Panic
            }
        };
        let halves = (failure.may_be_of_one() && callers.len() > 1).then_some(requests);
        if let Some(requests) = halves.and_then(Arc::into_inner) {
            let mut first: Vec<_> = requests
                .into_iter()
                .zip(callers)
                .map(|(request, (caller, weight))| Item {
                    request,
                    weight,
                    caller,
                })
                .collect();
            let second = first.split_off(first.len() / 2);
            stack.push(second);
            stack.push(first);
        } else {
            let error = failure.into_error();
            for (caller, _) in callers {
                let _ = caller.answer.send(Err(error.clone()));
            }
        }
    }
}

enum Failure {
    Store(store::Error),
    Panic,
}

impl Failure {
    /// Whether the rest of the batch may do well without one of its requests.
    fn may_be_of_one(&self) -> bool {
        matches!(self, Self::Panic | Self::Store(store::Error::Rejected(_)))
    }

    fn into_error(self) -> Error {
        match self {
            Self::Store(error) => Error::Store(Arc::new(error)),
            Self::Panic => Error::Panicked,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape of every weigh function")]
    fn one_row(_: &u32) -> Weight {
        Weight { rows: 1, bytes: 1 }
    }

    fn refused() -> store::Error {
        store::Error::Rejected(sqlx_error())
    }

    fn sqlx_error() -> sqlx::Error {
        sqlx::Error::Protocol("refused".to_owned())
    }

    #[tokio::test]
    async fn what_queues_up_behind_a_batch_becomes_one_batch() {
        let gate = Arc::new(Notify::new());
        let batches = Arc::new(AtomicUsize::new(0));
        let (held, counted) = (Arc::clone(&gate), Arc::clone(&batches));
        let bounds = Bounds {
            lanes: 1,
            ..Bounds::HOT_PATH
        };
        let batcher = Arc::new(Batcher::start(bounds, one_row, move |requests: Arc<Vec<u32>>| {
            let (held, counted) = (Arc::clone(&held), Arc::clone(&counted));
            async move {
                if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                    held.notified().await;
                }
                Ok(requests.iter().map(|request| request * 2).collect())
            }
        }));
        let first = tokio::spawn({
            let batcher = Arc::clone(&batcher);
            async move { batcher.submit(1).await }
        });
        while batches.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let rest = futures::future::join_all((2..=500).map(|request| batcher.submit(request)));
        let (answers, ()) = tokio::join!(rest, async { gate.notify_one() });
        assert_eq!(first.await.expect("the task ran").expect("an answer"), 2);
        assert!(
            answers
                .into_iter()
                .zip(2..)
                .all(|(answer, request)| answer.is_ok_and(|answer| answer == request * 2))
        );
        assert_eq!(batches.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn only_the_culprit_of_a_refused_batch_gets_the_error() {
        let batcher = Batcher::start(Bounds::HOT_PATH, one_row, |requests: Arc<Vec<u32>>| async move {
            if requests.contains(&7) {
                Err(refused())
            } else {
                Ok(requests.as_ref().clone())
            }
        });
        let answers = futures::future::join_all((0..100).map(|request| batcher.submit(request))).await;
        for (request, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.is_err(), request == 7, "request {request}");
        }
    }

    #[tokio::test]
    async fn a_batch_stays_within_its_bounds() {
        let largest = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&largest);
        let bounds = Bounds {
            lanes: 2,
            batch: Weight {
                rows: 10,
                bytes: usize::MAX,
            },
            waiting: 1_000,
            held_bytes: usize::MAX,
        };
        let batcher = Batcher::start(bounds, one_row, move |requests: Arc<Vec<u32>>| {
            seen.fetch_max(requests.len(), Ordering::SeqCst);
            async move { Ok(requests.as_ref().clone()) }
        });
        let answers = futures::future::join_all((0..500).map(|request| batcher.submit(request))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert!(largest.load(Ordering::SeqCst) <= 10);
    }

    #[tokio::test]
    async fn a_panic_costs_its_culprit_an_error_and_nobody_their_lane() {
        let bounds = Bounds {
            lanes: 1,
            ..Bounds::HOT_PATH
        };
        let batcher = Batcher::start(bounds, one_row, |requests: Arc<Vec<u32>>| async move {
            assert!(!requests.contains(&7), "seven");
            Ok(requests.as_ref().clone())
        });
        for _ in 0..2 {
            let answers = futures::future::join_all((0..100).map(|request| batcher.submit(request))).await;
            for (request, answer) in (0..).zip(answers) {
                match answer {
                    Ok(answer) => assert_eq!(answer, request),
                    Err(error) => assert!(request == 7 && matches!(error, Error::Panicked), "{request}: {error}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn requests_beyond_the_bytes_that_may_be_held_are_turned_away_until_there_is_room() {
        let gate = Arc::new(Notify::new());
        let held = Arc::clone(&gate);
        let bounds = Bounds {
            lanes: 1,
            held_bytes: 100,
            ..Bounds::HOT_PATH
        };
        let weigh = |request: &usize| Weight {
            rows: 1,
            bytes: *request,
        };
        let batcher = Batcher::start(bounds, weigh, move |requests: Arc<Vec<usize>>| {
            let held = Arc::clone(&held);
            async move {
                held.notified().await;
                Ok(requests.as_ref().clone())
            }
        });
        let held_bytes = || batcher.held_bytes.load(Ordering::Relaxed);
        // Larger than all together may be: it goes while it is alone.
        let large = batcher.submit(1_000);
        tokio::pin!(large);
        assert!(futures::poll!(&mut large).is_pending());
        assert!(matches!(batcher.submit(1).await, Err(Error::Overloaded)));
        gate.notify_one();
        assert_eq!(large.await.expect("an answer"), 1_000);
        assert_eq!(held_bytes(), 0);
        assert!(batcher.leave(60), "there is room again");
        assert!(batcher.leave(40));
        assert!(!batcher.leave(1), "a batch in flight counts like one that waits");
        assert_eq!(held_bytes(), 100);
    }
}
