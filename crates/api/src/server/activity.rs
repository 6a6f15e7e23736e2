//! What goes on in a connection.
//!
//! An exchange lasts from its request to the last piece of its answer. A connection without one is idle. In HTTP/2 an
//! answer of which nothing is taken although there is something is stalled: a client can bring that about with a socket
//! that is never full, by granting no window, and hold the memory of as many answers as it may have streams.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tower::Service;

use super::patience::Patience;
use super::rest::Rest;

/// An answer is handed over in pieces of this size, so that what is not taken is seen.
const PIECE_BYTES: usize = 16 << 10;

/// The exchanges of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity(Arc<State>);

#[derive(Debug, Default)]
struct State {
    exchanges: watch::Sender<Exchanges>,
    sending: Mutex<Sending>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Exchanges {
    /// How many there are now.
    open: usize,
    /// Whether there was ever one.
    any: bool,
}

/// The answers that wait for their clients, and when a piece of each was taken last.
#[derive(Debug, Default)]
struct Sending {
    next: u64,
    taken_at: HashMap<u64, Instant>,
}

impl Activity {
    fn begin(&self) -> Exchange {
        self.0.exchanges.send_modify(|exchanges| {
            exchanges.open += 1;
            exchanges.any = true;
        });
        Exchange(self.clone())
    }

    /// Returns when there was no exchange for longer than the server has patience.
    pub(super) async fn idle_for_too_long(&self, patience: &Patience, leaving: bool) {
        let mut exchanges = self.0.exchanges.subscribe();
        let mut idle_since = Instant::now();
        loop {
            let Exchanges { open, any } = *exchanges.borrow_and_update();
            tokio::select! {
                () = sleep(patience.between_looks()), if open == 0 => {
                    if idle_since.elapsed() >= patience.with_an_idle_client(any && !leaving) {
                        return;
                    }
                }
                // The sender lives as long as this does.
                _ = exchanges.changed() => idle_since = Instant::now(),
            }
        }
    }

    /// Returns when of some answer nothing was taken for so long.
    pub(super) async fn stalled_for(&self, duration: Duration) {
        loop {
            let oldest = self.0.sending.lock().taken_at.values().min().copied();
            match oldest.map(|taken_at| taken_at.elapsed()) {
                None => sleep(duration).await,
                Some(lying) if lying < duration => sleep(duration.saturating_sub(lying)).await,
                Some(_) => return,
            }
        }
    }
}

/// One request and its answer.
#[derive(Debug)]
struct Exchange(Activity);

impl Exchange {
    /// The exchange lasts as long as whatever calls this.
    #[expect(clippy::unused_self, reason = "whoever calls it has it")]
    fn keep(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        frame
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.0.exchanges.send_modify(|exchanges| exchanges.open -= 1);
    }
}

/// The router with its exchanges counted.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) router: Router,
    pub(super) activity: Activity,
    pub(super) http2: bool,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl<B> Service<Request<B>> for Counted
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let exchange = self.activity.begin();
        let http2 = self.http2;
        // A stream of HTTP/2 ends without its connection.
        let (request, rest) = if http2 {
            (request.map(Body::new), None)
        } else {
            Rest::of(request)
        };
        let answering = self.router.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            if let Some(rest) = rest {
                rest.take().await;
            }
            Ok(answer.map(|body| {
                if http2 {
                    Body::new(Answer::new(body, exchange))
                } else {
                    // A socket that is full shows what is not taken.
                    Body::new(body.map_frame(move |frame| exchange.keep(frame)))
                }
            }))
        })
    }
}

/// The body of an answer, in pieces.
#[derive(Debug)]
struct Answer {
    body: Body,
    /// What is left of the frame that was cut into pieces.
    rest: Bytes,
    id: u64,
    exchange: Exchange,
}

impl Answer {
    fn new(body: Body, exchange: Exchange) -> Self {
        let id = {
            let mut sending = exchange.0.0.sending.lock();
            let id = sending.next;
            sending.next += 1;
            sending.taken_at.insert(id, Instant::now());
            id
        };
        Self {
            body,
            rest: Bytes::new(),
            id,
            exchange,
        }
    }

    fn taken(&self) {
        let mut sending = self.exchange.0.0.sending.lock();
        sending.taken_at.insert(self.id, Instant::now());
    }

    /// The client waits, for what comes next.
    fn all_taken(&self) {
        self.exchange.0.0.sending.lock().taken_at.remove(&self.id);
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PIECE_BYTES);
        Frame::data(self.rest.split_to(length))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    /// Asked for only when the client has taken what came before.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let answer = &mut *self;
        answer.taken();
        if !answer.rest.is_empty() {
            return Poll::Ready(Some(Ok(answer.piece())));
        }
        let next = Pin::new(&mut answer.body).poll_frame(context);
        if next.is_pending() {
            answer.all_taken();
        }
        next.map_ok(|frame| match frame.into_data() {
            Ok(data) => {
                answer.rest = data;
                answer.piece()
            }
            Err(other) => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.exchange.0.0.sending.lock().taken_at.remove(&self.id);
    }
}
