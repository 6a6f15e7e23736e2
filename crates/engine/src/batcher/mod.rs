//! Natural batching: the one small actor every hot path goes through.
//!
//! ```text
//!   caller ──┐
//!   caller ──┼──► queue ──► lane 1: one batch in flight
//!   caller ──┘         └──► lane 2: one more, once enough waits for it
//! ```
//!
//! A lane takes whatever has queued up, performs it as one batch and answers each caller. With nothing in flight that
//! happens at once: an idle system pays no delay, and under load the batches grow by themselves to what the database can
//! take. The work runs in the lane, not in the caller: a caller that goes away cancels nothing half-way. A batch that
//! panics takes nothing else with it.
//!
//! A second batch starts beside the first only if it is [worth it](Bounds::worth_a_lane): of 32 single requests two
//! batches of 16 cost the database, and so each caller, a quarter more than one of 32 does after another.

mod failure;
mod intake;
mod serve;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orchestratum_store as store;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(crate) use failure::caught;
use intake::{Intake, Waiting};

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
    /// How many rows have to wait before a batch is begun beside another one.
    pub worth_a_lane: usize,
    /// A batch stops growing here; a single larger request goes alone.
    pub batch: Weight,
    /// How many requests may wait; more are turned away.
    pub waiting: usize,
    /// How many bytes the requests without an answer may have, those of the batches in flight included. One that is
    /// larger by itself is served when nothing else is there.
    pub held_bytes: usize,
}

impl Bounds {
    /// Two lanes: a full batch need not wait for the one that is in the database.
    pub const HOT_PATH: Self = Self {
        lanes: 2,
        worth_a_lane: 100,
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
    /// When it began to wait.
    since: Instant,
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
    waiting: Arc<Waiting>,
    weigh: fn(&Request) -> Weight,
    held_bytes: Arc<AtomicUsize>,
    most_held_bytes: usize,
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
        let waiting = Arc::new(Waiting::new(bounds.worth_a_lane));
        let intake = Intake::new(receiver, Arc::clone(&waiting), bounds);
        tokio::spawn(intake.run(perform));
        Self {
            queue: sender,
            waiting,
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
            since: Instant::now(),
            caller: Caller { answer, _held: held },
        };
        self.queue.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Stopped,
        })?;
        self.waiting.add(weight.rows);
        Ok(answered)
    }
}
