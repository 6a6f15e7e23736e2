//! What a client still sends of a request that is answered already.
//!
//! A refusal may stand before the body has arrived. Where a connection is ended on which bytes lie unread, the system of the
//! client throws away what has arrived there, the answer with it, and all that the client learns is that the connection broke
//! (RFC 9112, section 9.6): it would send the same again. So what is still coming is taken and thrown away first.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{Request, header};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::timeout;

/// Of more than this the connection is ended: nothing that a server takes is as large.
const REST_MAX_BYTES: usize = 64 << 20;

/// A client that sends nothing for so long waits for its answer.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// In which a client has sent all, or is too slow to be waited for.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// The body of a request, which whoever answers may drop before its end.
#[derive(Debug, Clone)]
pub(super) struct Rest(Arc<Mutex<Body>>);

impl Rest {
    /// The request over again, and beside it what it leaves unread; none where there is no body, or where the client sends it only
    /// when it is asked to.
    pub(super) fn of<B>(request: Request<B>) -> (Request<Body>, Option<Self>)
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    {
        let request = request.map(Body::new);
        if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
            return (request, None);
        }
        let (parts, body) = request.into_parts();
        let rest = Self(Arc::new(Mutex::new(body)));
        let body = Body::new(rest.clone());
        (Request::from_parts(parts, body), Some(rest))
    }

    /// Returns when all of it is there, when the client pauses, and when it is too much.
    pub(super) async fn take(self) {
        if !self.is_end_stream() {
            let _ = timeout(TAKEN_WITHIN, self.throw_away()).await;
        }
    }

    async fn throw_away(mut self) {
        let mut bytes = 0;
        while let Ok(Some(Ok(frame))) = timeout(PAUSE_MAX, self.frame()).await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > REST_MAX_BYTES {
                return;
            }
        }
    }
}

impl HttpBody for Rest {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}
