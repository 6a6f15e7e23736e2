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
//! The work runs in the lane, not in the caller: a caller that goes away cancels nothing half-way.

use std::future::Future;
use std::sync::Arc;

use orchestratum_store as store;
use tokio::sync::{Mutex, mpsc, oneshot};

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
    #[error(transparent)]
    Store(Arc<store::Error>),
}

struct Item<Request, Answer> {
    request: Request,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

/// See the module.
#[derive(Debug)]
pub struct Batcher<Request, Answer> {
    queue: mpsc::Sender<Item<Request, Answer>>,
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
                while let Some(batch) = next_batch(&intake, bounds.batch, weigh).await {
                    serve(batch, &perform).await;
                }
            });
        }
        Self { queue: sender }
    }

    /// Waits for a place in a batch and for its answer.
    pub async fn submit(&self, request: Request) -> Result<Answer, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Item { request, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Error::Overloaded,
                mpsc::error::TrySendError::Closed(_) => Error::Stopped,
            })?;
        answered.await.unwrap_or(Err(Error::Stopped))
    }

    /// Leaves a request whose answer nobody needs; `false` if there is no room for it.
    pub fn leave(&self, request: Request) -> bool {
        let (answer, _) = oneshot::channel();
        self.queue.try_send(Item { request, answer }).is_ok()
    }
}

async fn next_batch<Request, Answer>(
    intake: &Mutex<Intake<Request, Answer>>,
    most: Weight,
    weigh: fn(&Request) -> Weight,
) -> Option<Vec<Item<Request, Answer>>> {
    // Waiting for the first request under the lock is right: another lane could only wait for the same.
    let mut intake = intake.lock().await;
    let first = match intake.carried.take() {
        Some(item) => item,
        None => intake.queue.recv().await?,
    };
    let mut total = weigh(&first.request);
    let mut batch = vec![first];
    while let Ok(item) = intake.queue.try_recv() {
        let weight = weigh(&item.request);
        total = Weight {
            rows: total.rows + weight.rows,
            bytes: total.bytes + weight.bytes,
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
    // A batch the database refuses is halved until the culprit is alone, so that nobody else pays for it.
    let mut stack = vec![batch];
    while let Some(batch) = stack.pop() {
        let (requests, callers): (Vec<Request>, Vec<_>) =
            batch.into_iter().map(|item| (item.request, item.answer)).unzip();
        let requests = Arc::new(requests);
        match perform(Arc::clone(&requests)).await {
            Ok(answers) => {
                debug_assert_eq!(answers.len(), callers.len(), "one answer a request");
                for (caller, answer) in callers.into_iter().zip(answers) {
                    // A caller that went away needs no answer.
                    let _ = caller.send(Ok(answer));
                }
            }
            Err(store::Error::Rejected(_)) if callers.len() > 1 => {
                let Some(requests) = Arc::into_inner(requests) else {
                    continue;
                };
                let mut first: Vec<_> = requests
                    .into_iter()
                    .zip(callers)
                    .map(|(request, answer)| Item { request, answer })
                    .collect();
                let second = first.split_off(first.len() / 2);
                stack.push(second);
                stack.push(first);
            }
            Err(error) => {
                let error = Error::Store(Arc::new(error));
                for caller in callers {
                    let _ = caller.send(Err(error.clone()));
                }
            }
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
        };
        let batcher = Batcher::start(bounds, one_row, move |requests: Arc<Vec<u32>>| {
            seen.fetch_max(requests.len(), Ordering::SeqCst);
            async move { Ok(requests.as_ref().clone()) }
        });
        let answers = futures::future::join_all((0..500).map(|request| batcher.submit(request))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert!(largest.load(Ordering::SeqCst) <= 10);
    }
}
