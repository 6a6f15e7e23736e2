//! What of a host is running: its worker, and the loops of its engine if that is in this process.

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::embedded::Loops;
use crate::Error;

pub(crate) struct Life {
    stop: CancellationToken,
    ended: CancellationToken,
    has_worker: bool,
    /// Held by whoever stops it until all is over: who comes second waits as long, and one that gives up loses nothing.
    worker: Mutex<Option<JoinHandle<Result<(), Error>>>>,
    /// End after the worker, which needs them.
    loops: Option<Loops>,
}

impl Life {
    /// One without a worker.
    pub(super) fn idle(loops: Option<Loops>) -> Self {
        Self {
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            has_worker: false,
            worker: Mutex::new(None),
            loops,
        }
    }

    /// One with a worker that ends soon after `stop` is cancelled.
    pub(super) fn working(
        stop: CancellationToken,
        work: impl Future<Output = Result<(), Error>> + Send + 'static,
        loops: Option<Loops>,
    ) -> Self {
        let ended = CancellationToken::new();
        // Also after a panic.
        let guard = ended.clone().drop_guard();
        let worker = tokio::spawn(async move {
            let _ended = guard;
            work.await
        });
        Self {
            stop,
            ended,
            has_worker: true,
            worker: Mutex::new(Some(worker)),
            loops,
        }
    }

    /// Completes when the worker has ended; never where there is none.
    pub(crate) async fn ended(&self) {
        if self.has_worker {
            self.ended.cancelled().await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// Lets all come to an end. May be called more than once, also at a time: the first is told what ended the worker.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        self.stop.cancel();
        let mut worker = self.worker.lock().await;
        let ended = match worker.as_mut() {
            None => Ok(()),
            Some(worker) => worker.await.unwrap_or(Err(Error::WorkerPanicked)),
        };
        *worker = None;
        if let Some(loops) = &self.loops {
            loops.end().await;
        }
        ended
    }
}

/// Whoever drops the last handle without stopping still wants its process back.
impl Drop for Life {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
