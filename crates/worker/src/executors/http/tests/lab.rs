//! What the tests need: an executor that may reach their servers, and names that lead where they say.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::task::{Ending, HttpInput};
use orchestratum_core::{JsonText, Origin, Timestamp, TraceParent};
use orchestratum_engine::{HttpSettings, identity};
use orchestratum_store::{ClaimedTask, FollowedBy};
use parking_lot::Mutex;
use rustls::RootCertStore;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::executors::http::client::Client;
use crate::executors::http::connect::{Connector, Resolve};
use crate::executors::http::error::Error;
use crate::executors::http::establish::Establish;
use crate::executors::http::guard::Guard;
use crate::executors::http::{BODY_MAX_BYTES, Http};

pub(super) const TRACE_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Answers in turn, the last for ever: what an attacker's name server does.
#[derive(Default)]
pub(super) struct Names(Mutex<VecDeque<Vec<IpAddr>>>);

impl Names {
    /// An empty entry is a failure to resolve.
    pub(super) fn answering(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |address: &&str| address.parse().expect("an address");
        let answers = answers.iter().map(|answer| answer.iter().map(parse).collect());
        Arc::new(Self(Mutex::new(answers.collect())))
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock();
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        let answer = answer.filter(|addresses| !addresses.is_empty());
        answer.ok_or_else(|| io::Error::other("no such name"))
    }
}

pub(super) struct Lab {
    allow: Vec<String>,
    names: Arc<dyn Resolve>,
    roots: RootCertStore,
    body_max_bytes: usize,
    patience: Duration,
    connected_within: Duration,
}

impl Lab {
    /// Where nothing but what is public may be reached.
    pub(super) fn closed() -> Self {
        Self {
            allow: Vec::new(),
            names: Names::answering(&[&[]]),
            roots: RootCertStore::empty(),
            body_max_bytes: BODY_MAX_BYTES,
            patience: Duration::from_secs(30),
            connected_within: Duration::from_secs(30),
        }
    }

    pub(super) fn open_to(addresses: &[SocketAddr]) -> Self {
        Self::closed().allow(addresses.iter().map(ToString::to_string))
    }

    pub(super) fn allow(mut self, entries: impl IntoIterator<Item = String>) -> Self {
        self.allow.extend(entries);
        self
    }

    pub(super) fn names(mut self, names: Arc<dyn Resolve>) -> Self {
        self.names = names;
        self
    }

    pub(super) fn roots(mut self, roots: RootCertStore) -> Self {
        self.roots = roots;
        self
    }

    pub(super) fn body_max_bytes(mut self, bytes: usize) -> Self {
        self.body_max_bytes = bytes;
        self
    }

    pub(super) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn connected_within(mut self, patience: Duration) -> Self {
        self.connected_within = patience;
        self
    }

    pub(super) fn http(&self) -> Http {
        let settings = HttpSettings {
            enabled: true,
            allow: self
                .allow
                .iter()
                .map(|entry| entry.parse().expect("an entry"))
                .collect(),
            ports: vec![80, 443],
        };
        let connector = Connector::new(Guard::new(&settings), Arc::clone(&self.names));
        let establish = Establish::new(connector, self.roots.clone(), self.connected_within);
        Http {
            client: Client::new(establish, self.body_max_bytes),
            patience: self.patience,
        }
    }
}

pub(super) fn task(input: &Value) -> ClaimedTask {
    ClaimedTask {
        id: identity::chosen_task_id(),
        attempt: 3,
        run: 2,
        name: "http".parse().expect("a name"),
        target: "default".parse().expect("a target"),
        input: JsonText::new(input.to_string()).expect("JSON"),
        limits: None,
        timeout: None,
        expires_at: Timestamp::from_micros(0),
        started_at: Timestamp::from_micros(0),
        origin: Origin {
            trace_parent: Some(TraceParent::new(TRACE_PARENT).expect("well-formed")),
            request_id: None,
        },
        followed_by: FollowedBy::Nothing,
        known: None,
    }
}

/// One request by an executor of its own, so without a connection that is open already.
pub(super) async fn exchange(lab: &Lab, input: Value) -> Result<Value, Error> {
    exchange_again(&lab.http(), input).await
}

pub(super) async fn exchange_again(http: &Http, input: Value) -> Result<Value, Error> {
    let task = task(&input);
    let input = HttpInput::read(task.input.as_str()).expect("a valid input");
    let output = http.exchange(&task, &input).await?;
    Ok(output.parse().expect("JSON"))
}

/// The message, and whether the task may be tried again.
pub(super) fn failure(error: &Error) -> (String, bool) {
    match error.ending() {
        Ending::Failed { message, retryable, .. } => (message, retryable),
        other => panic!("{other:?}"),
    }
}

/// A server that answers each request with the very same bytes and closes the connection.
pub(super) async fn raw_server(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// Answers the request with the beginning, and then with the rest again and again for as long as somebody reads it.
pub(super) async fn answer_for_ever(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), beginning: &[u8], rest: &[u8]) {
    const AT_ONCE_BYTES: usize = 64 * 1024;
    read_head(stream).await;
    if stream.write_all(beginning).await.is_err() {
        return;
    }
    let rests = rest.repeat(AT_ONCE_BYTES / rest.len() + 1);
    while stream.write_all(&rests).await.is_ok() {}
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            break;
        }
    }
}

pub(super) fn root_url(address: SocketAddr) -> String {
    format!("http://{address}/")
}
