//! Sends requests and follows redirects, each under the guard.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use orchestratum_core::task::HttpInput;
use orchestratum_engine::error::chain;
use parking_lot::Mutex;

use super::answer::Answer;
use super::connect::ConnectError;
use super::error::Error;
use super::establish::Establish;
use super::received::{Allowance, Meter};
use super::request::Outgoing;
use super::{REDIRECTS_MAX, body};

/// How long a connection may wait for the next request, and how many do for one host.
const IDLE_PATIENCE: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS: usize = 8;

/// How many connections are opened for one pool before another one takes its place, and its idle connections end: a pool
/// knows no bound for all hosts together, and each connection is an open file.
pub(super) const CONNECTIONS_OF_A_POOL: usize = 128;

/// How large the headers of an answer may be.
const HEAD_MAX_BYTES: usize = 64 * 1024;

type Pool = legacy::Client<Establish, Full<Bytes>>;

pub(super) struct Client {
    establish: Establish,
    /// How many connections there were so far.
    opened: Arc<AtomicUsize>,
    newest: Mutex<Newest>,
    /// Of a body, decompressed.
    body_max_bytes: usize,
}

/// The pool that takes requests. One before it lasts as long as what it has under way.
struct Newest {
    pool: Pool,
    opened_before: usize,
}

impl Client {
    pub(super) fn new(establish: Establish, body_max_bytes: usize) -> Self {
        Self {
            opened: establish.opened(),
            newest: Mutex::new(Newest {
                pool: new_pool(&establish),
                opened_before: 0,
            }),
            establish,
            body_max_bytes,
        }
    }

    fn pool(&self) -> Pool {
        let mut newest = self.newest.lock();
        let opened = self.opened.load(Ordering::Relaxed);
        if opened.saturating_sub(newest.opened_before) >= CONNECTIONS_OF_A_POOL {
            *newest = Newest {
                pool: new_pool(&self.establish),
                opened_before: opened,
            };
        }
        newest.pool.clone()
    }

    /// Sends the request, and again wherever it is redirected, until there is an answer that the task expects.
    pub(super) async fn exchange(&self, outgoing: Outgoing, input: &HttpInput) -> Result<Answer, Error> {
        let allowance = Arc::new(Allowance::for_body(self.body_max_bytes));
        let most = allowance.most();
        let answer = self.follow(outgoing, input, &allowance).await;
        answer.map_err(|error| match error {
            // They know no more than that the connection failed.
            Error::NoAnswer { .. } | Error::Unreadable(_) if allowance.is_exceeded() => Error::TooMuchReceived { most },
            other => other,
        })
    }

    async fn follow(
        &self,
        mut outgoing: Outgoing,
        input: &HttpInput,
        allowance: &Arc<Allowance>,
    ) -> Result<Answer, Error> {
        let mut redirects = 0;
        let mut redirected_by = None;
        loop {
            let sent = self.send(&outgoing, allowance).await;
            let response = sent.map_err(|error| error.after(redirected_by.take()))?;
            let status = response.status();
            if input.expected_statuses.contains(status.as_u16()) {
                let headers = response.headers().clone();
                let body = body::whole(response, &outgoing.method, self.body_max_bytes).await?;
                return Ok(Answer {
                    status,
                    headers,
                    body,
                    url: outgoing.url,
                    redirects,
                });
            }
            let next = if input.follow_redirects {
                outgoing.redirected(status, response.headers())?
            } else {
                None
            };
            match next {
                Some(_) if redirects == REDIRECTS_MAX => return Err(Error::TooManyRedirects),
                Some(next) => {
                    redirected_by = Some(outgoing.place());
                    outgoing = next;
                }
                None => {
                    let beginning = body::beginning(response).await;
                    return Err(Error::UnexpectedStatus { status, beginning });
                }
            }
            redirects += 1;
        }
    }

    async fn send(&self, outgoing: &Outgoing, allowance: &Arc<Allowance>) -> Result<Response<Incoming>, Error> {
        let mut request = outgoing.request()?;
        let captured = capture_connection(&mut request);
        let mut answering = pin!(self.pool().request(request));
        // The connection is known as soon as the poll that gave it the request is over, before there can be much of an
        // answer. A later poll may give the request to another connection, where the first one was closed meanwhile.
        let answered = poll_fn(|context| {
            let polled = answering.as_mut().poll(context);
            if let Some(meter) = Meter::of(&captured) {
                meter.count_for(allowance);
            }
            polled
        });
        let no_answer = |reason: String| Error::NoAnswer {
            host: outgoing.url.host_str().unwrap_or_default().to_owned(),
            reason,
        };
        let response = answered.await.map_err(|error| {
            let connecting = connecting(&error);
            if let Some(ConnectError::Refused(refused)) = connecting {
                return Error::Refused(refused.clone());
            }
            no_answer(connecting.map_or_else(|| chain(&error), |error| chain(error)))
        })?;
        // The connection reads somewhat more than it is told to.
        if size(response.headers()) > HEAD_MAX_BYTES {
            return Err(no_answer(format!(
                "the headers of the answer have more than {HEAD_MAX_BYTES} bytes"
            )));
        }
        Ok(response)
    }
}

fn new_pool(establish: &Establish) -> Pool {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_PATIENCE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .http1_max_buf_size(HEAD_MAX_BYTES)
        .build(establish.clone())
}

fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// The trouble with the connection, below what the layers above it say.
fn connecting(error: &legacy::Error) -> Option<&ConnectError> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}
