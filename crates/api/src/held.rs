//! How many bytes of requests and of answers this process holds at once, over all connections.
//!
//! A limit for each body and one for the number of connections are not enough: four thousand bodies of 16 MiB are more
//! than any machine has. What is counted is counted as long as its bytes live, whoever holds them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::auth::Authenticated;
use crate::extract::IDEMPOTENT_REPLAY;
use crate::problem::{Code, Problem, Result};

/// How long a body waits for others to go.
const PATIENCE: Duration = Duration::from_secs(1);

/// Smaller answers are not counted: nearly all are, and they fit into what the kernel takes at once.
const COUNTED_FROM_BYTES: usize = 64 << 10;

/// How many bytes may be held at once.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    total: usize,
}

/// A part of a budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share(OwnedSemaphorePermit);

/// Bytes and the share that counts them, which end together.
struct Counted {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Budget {
    pub(crate) fn new(total: usize) -> Self {
        let total = total.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
        }
    }

    /// A share of nothing, to [grow](Share::grow).
    pub(crate) fn share(&self) -> Share {
        self.take(0).expect("nothing is always free")
    }

    /// The share of something that is there already; what is larger than the budget takes all of it. `None` if so much is
    /// not free.
    fn take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(permits(bytes.min(self.total)));
        permit.ok().map(Share)
    }

    /// The same, after waiting for others to go.
    async fn wait(&self, bytes: usize, patience: Duration) -> Option<Share> {
        let free = Arc::clone(&self.free).acquire_many_owned(permits(bytes.min(self.total)));
        timeout(patience, free).await.ok()?.ok().map(Share)
    }
}

impl Share {
    /// Counts more bytes, and waits a moment for them if others have them.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<()> {
        let free = || Arc::clone(self.0.semaphore());
        let more = match free().try_acquire_many_owned(permits(bytes)) {
            Ok(more) => more,
            Err(_) => timeout(PATIENCE, free().acquire_many_owned(permits(bytes)))
                .await
                .map_err(|_elapsed| overloaded("the bodies of other requests take all the memory there is for them"))?
                .expect("the semaphore is never closed"),
        };
        self.0.merge(more);
        Ok(())
    }

    /// The bytes, counted until the last of them is dropped.
    pub(crate) fn count(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Counted { bytes, _share: self })
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn overloaded(detail: &str) -> Problem {
    Problem::new(Code::Overloaded, detail)
}

/// Counts a large answer to a caller with a key until its client has taken it: a slow one may take its time, but not all
/// the memory. What anyone may ask for is small, or part of the program.
///
/// It is counted when it is built, as nobody knows its size before. That bounds it, too: from the last row that the
/// database gives to here, a read waits for nothing, so that there are no more of those not counted yet than connections
/// to the database and threads.
///
/// A change is told of even if that takes as long as clients may leave their answers lying, which is `patience`.
pub(crate) async fn count_answer(
    State((budget, patience)): State<(Budget, Duration)>,
    request: Request,
    next: Next,
) -> Response {
    let only_reads = request.method().is_safe();
    let response = next.run(request).await;
    let size = response.body().size_hint().exact();
    let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    if size < COUNTED_FROM_BYTES || response.extensions().get::<Authenticated>().is_none() {
        return response;
    }
    let changed = !only_reads && !response.headers().contains_key(IDEMPOTENT_REPLAY);
    let share = if changed {
        budget.wait(size, patience).await
    } else {
        budget.take(size)
    };
    let Some(share) = share else {
        return refused(&response, changed);
    };
    response.map(|body| {
        Body::new(CountedAnswer {
            body,
            share: Some(share),
        })
    })
}

/// In the place of an answer: with what surrounds it, so that it is logged, and kept from caches, as that was.
fn refused(response: &Response, changed: bool) -> Response {
    let detail = if changed {
        "the change was made, but large answers that other clients have not taken yet use all the memory there is for \
         them: read what it made, or repeat it with the same Idempotency-Key"
    } else {
        "large answers that other clients have not taken yet use all the memory there is for them"
    };
    let mut refused = overloaded(detail).into_response();
    refused.extensions_mut().insert(Authenticated);
    if let Some(caching) = response.headers().get(header::CACHE_CONTROL) {
        refused.headers_mut().insert(header::CACHE_CONTROL, caching.clone());
    }
    refused
}

/// The share goes along with the first frame, which is all of an answer whose size is known: the body itself is dropped
/// as soon as its frames are taken, long before they are sent.
struct CountedAnswer {
    body: Body,
    share: Option<Share>,
}

impl HttpBody for CountedAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|data| match self.share.take() {
                    Some(share) => share.count(data),
                    None => data,
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_share_lasts_as_long_as_the_bytes_it_counts() {
        let budget = Budget::new(10);
        let mut share = budget.share();
        share.grow(4).await.expect("there is room");
        share.grow(4).await.expect("there is room");
        let bytes = share.count(Bytes::from_static(b"12345678"));
        let part = bytes.slice(2..4);
        drop(bytes);
        let mut other = budget.share();
        let refused = other.grow(3).await.expect_err("a part still lives");
        assert_eq!(refused.code(), Code::Overloaded);
        let (grown, ()) = tokio::join!(other.grow(3), async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(part);
        });
        grown.expect("it was worth waiting");
        drop(other);
        assert!(
            budget.take(1_000).is_some(),
            "what is larger than all waits until it is alone"
        );
    }
}
