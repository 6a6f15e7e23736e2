//! The receiving end of a batcher: it says when the next batch starts and what is in it.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use orchestratum_store as store;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep_until;

use super::serve::serve;
use super::{Bounds, Item, Weight};

/// How long a request waits for the batch in flight, which may be a large one, before what waits starts beside it.
const PATIENCE: Duration = Duration::from_millis(5);

/// How many rows wait, to be told when that is enough for one more lane.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Below 0 while a request that was taken already is not yet counted.
    rows: AtomicIsize,
    enough: isize,
    became_enough: Notify,
}

impl Waiting {
    pub(super) fn new(enough: usize) -> Self {
        Self {
            rows: AtomicIsize::new(0),
            enough: signed(enough),
            became_enough: Notify::new(),
        }
    }

    /// After a request was put into the queue.
    pub(super) fn add(&self, rows: usize) {
        let rows = signed(rows);
        let before = self.rows.fetch_add(rows, Ordering::AcqRel);
        if before < self.enough && before + rows >= self.enough {
            self.became_enough.notify_one();
        }
    }

    fn remove(&self, rows: usize) {
        self.rows.fetch_sub(signed(rows), Ordering::AcqRel);
    }

    async fn enough(&self) {
        while self.rows.load(Ordering::Acquire) < self.enough {
            self.became_enough.notified().await;
        }
    }
}

fn signed(rows: usize) -> isize {
    isize::try_from(rows).unwrap_or(isize::MAX)
}

pub(super) struct Intake<Request, Answer> {
    queue: mpsc::Receiver<Item<Request, Answer>>,
    waiting: Arc<Waiting>,
    bounds: Bounds,
    /// Taken from the queue, but too much for the batch it came upon, or to see how long it waits.
    carried: Option<Item<Request, Answer>>,
}

impl<Request, Answer> Intake<Request, Answer>
where
    Request: Send + Sync + 'static,
    Answer: Send + 'static,
{
    pub(super) fn new(queue: mpsc::Receiver<Item<Request, Answer>>, waiting: Arc<Waiting>, bounds: Bounds) -> Self {
        Self {
            queue,
            waiting,
            bounds,
            carried: None,
        }
    }

    /// Starts batches until nobody can submit any more, and waits for the last of them.
    pub(super) async fn run<Perform, Performing>(mut self, perform: Perform)
    where
        Perform: Fn(Arc<Vec<Request>>) -> Performing + Clone + Send + Sync + 'static,
        Performing: Future<Output = Result<Vec<Answer>, store::Error>> + Send + 'static,
    {
        let mut in_flight = JoinSet::new();
        loop {
            let batch = if in_flight.is_empty() {
                let Some(first) = self.queued().await else { return };
                // Others that became ready in the same moment get to submit theirs: this would otherwise run before them.
                yield_now().await;
                Some(self.batch(first))
            } else {
                let has_lane = in_flight.len() < self.bounds.lanes;
                tokio::select! {
                    _ = in_flight.join_next() => None,
                    () = self.waiting.enough(), if has_lane => self.waiting_batch(),
                    () = oldest_impatient(&mut self.carried, &mut self.queue), if has_lane => self.waiting_batch(),
                }
            };
            if let Some(batch) = batch {
                in_flight.spawn(serve(batch, perform.clone()));
            }
        }
    }

    async fn queued(&mut self) -> Option<Item<Request, Answer>> {
        match self.carried.take() {
            Some(item) => Some(item),
            None => self.queue.recv().await,
        }
    }

    fn waiting_batch(&mut self) -> Option<Vec<Item<Request, Answer>>> {
        let first = self.carried.take().or_else(|| self.queue.try_recv().ok())?;
        Some(self.batch(first))
    }

    fn batch(&mut self, first: Item<Request, Answer>) -> Vec<Item<Request, Answer>> {
        let most = self.bounds.batch;
        let mut total = first.weight;
        let mut batch = vec![first];
        while let Ok(item) = self.queue.try_recv() {
            let more = Weight {
                rows: total.rows + item.weight.rows,
                bytes: total.bytes + item.weight.bytes,
            };
            if more.rows > most.rows || more.bytes > most.bytes {
                self.carried = Some(item);
                break;
            }
            total = more;
            batch.push(item);
        }
        self.waiting.remove(total.rows);
        batch
    }
}

/// Until the oldest request that waits has waited long enough; it may begin to wait meanwhile.
async fn oldest_impatient<Request, Answer>(
    oldest: &mut Option<Item<Request, Answer>>,
    queue: &mut mpsc::Receiver<Item<Request, Answer>>,
) {
    if oldest.is_none() {
        *oldest = queue.recv().await;
    }
    match oldest {
        Some(item) => sleep_until(item.since + PATIENCE).await,
        // Nobody can submit any more.
        None => pending().await,
    }
}
