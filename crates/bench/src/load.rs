//! The native client: HTTP/1.1, each lane one connection that is kept alive, one request at a time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::machine::monotonic_now;

const REQUEST_LIMIT: Duration = Duration::from_secs(60);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ANSWER_MAX_BYTES: usize = 64 << 20;

/// Where a server is and how it knows us.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    /// Of each request.
    headers: HeaderMap,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body, if the status is the expected one.
    pub(crate) fn expect(self, status: StatusCode) -> Result<Bytes> {
        if self.status == status {
            return Ok(self.body);
        }
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(1_000)]).into_owned();
        bail!("{} and not {status}: {text}", self.status)
    }
}

impl Server {
    pub(crate) fn new(address: SocketAddr, authorization: &str) -> Result<Self> {
        let mut authorization = HeaderValue::from_str(authorization).context("a key is plain text")?;
        authorization.set_sensitive(true);
        let mut server = Self::at(address)?;
        server.headers.insert(AUTHORIZATION, authorization);
        Ok(server)
    }

    /// One that asks nobody for a key, and answers in more than one format.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let mut server = Self::at(address)?;
        server.headers.insert(ACCEPT, JSON);
        Ok(server)
    }

    fn at(address: SocketAddr) -> Result<Self> {
        let host = HeaderValue::from_str(&address.to_string()).context("an address is plain text")?;
        let headers = HeaderMap::from_iter([(HOST, host), (CONTENT_TYPE, JSON)]);
        Ok(Self { address, headers })
    }

    pub(crate) async fn lane(&self) -> Result<Lane> {
        let connect = async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(async move {
                // Its end shows in the request that needed it.
                let _ = connection.await;
            });
            Ok::<_, anyhow::Error>(Lane {
                server: self.clone(),
                sender,
                connection: connection.abort_handle(),
            })
        };
        let lane = timeout(REQUEST_LIMIT, connect)
            .await
            .context("connecting took too long")?;
        lane.with_context(|| format!("cannot connect to {}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.lane().await?.send(Method::GET, path, Bytes::new()).await
    }

    /// So many equal POSTs over so many lanes, each expected to create something. Answers with what each took, in
    /// milliseconds, and what all took together, in seconds. Connections are opened before the clock starts.
    pub(crate) async fn post_all(&self, path: &str, body: &Bytes, count: u32, in_flight: u32) -> Result<Load> {
        let lanes = try_join_all((0..in_flight).map(|_| self.lane())).await?;
        let started = monotonic_now();
        let shares = lanes.into_iter().zip(shares(count, in_flight));
        let work = shares.map(|(lane, share)| post_share(lane, path, body, share));
        let parts = try_join_all(work).await?;
        Ok(Load {
            seconds: started.elapsed().as_secs_f64(),
            milliseconds: parts.concat(),
        })
    }
}

#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) seconds: f64,
    pub(crate) milliseconds: Vec<f64>,
}

async fn post_share(mut lane: Lane, path: &str, body: &Bytes, share: u32) -> Result<Vec<f64>> {
    let mut taken = Vec::with_capacity(share as usize);
    for _ in 0..share {
        let sent = monotonic_now();
        lane.send(Method::POST, path, body.clone())
            .await?
            .expect(StatusCode::CREATED)?;
        taken.push(sent.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(taken)
}

/// So many parts of a count that differ by one at most.
pub(crate) fn shares(count: u32, parts: u32) -> impl Iterator<Item = u32> {
    (0..parts).map(move |part| count / parts + u32::from(part < count % parts))
}

#[derive(Debug)]
pub(crate) struct Lane {
    server: Server,
    sender: SendRequest<Full<Bytes>>,
    connection: AbortHandle,
}

impl Lane {
    pub(crate) async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Full::new(body))
            .context("cannot build a request")?;
        request.headers_mut().clone_from(&self.server.headers);
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
            let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
            Ok::<_, anyhow::Error>(Answer {
                status: head.status,
                body,
            })
        };
        let answer = timeout(REQUEST_LIMIT, exchange).await;
        answer
            .with_context(|| format!("{path} had no answer within {REQUEST_LIMIT:?}"))?
            .with_context(|| format!("{path} failed"))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_add_up() {
        let parts: Vec<u32> = shares(10, 4).collect();
        assert_eq!(parts, [3, 3, 2, 2]);
    }
}
