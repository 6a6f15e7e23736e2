//! A server, asked over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Host;
use super::remote_worker::RemoteWorker;
use crate::builder::Options;
use crate::entry::Entry;
use crate::registry::Registry;
use crate::{CommandId, Error, Fault, Followers, MissingFollower, State, Status};

/// How long one request may wait for the end of a command: less than servers allow by default.
const WAIT_MOST: Duration = Duration::from_secs(30);

/// Longer than one request waits.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is shown of an answer that is no problem document.
const ANSWER_SHOWN: usize = 500;

/// Requests to a server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    key: HeaderValue,
}

pub(crate) struct Remote {
    client: Client,
    stop: CancellationToken,
    ended: CancellationToken,
    worker: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) fn start(url: &str, key: &str, options: &Options, registry: Registry) -> Result<Remote, Error> {
    let client = Client::new(url, key)?;
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let worker = (!registry.is_empty()).then(|| {
        let worker = RemoteWorker::new(client.clone(), options, registry, stop.clone());
        let ended = ended.clone();
        tokio::spawn(async move {
            let _ended = ended.drop_guard();
            worker.run().await;
        })
    });
    Ok(Remote {
        client,
        stop,
        ended,
        worker: Mutex::new(worker),
    })
}

impl Client {
    fn new(url: &str, key: &str) -> Result<Self, Error> {
        // Somebody else may have chosen one for the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let parsed = url.parse().ok().filter(|url: &Url| !url.cannot_be_a_base());
        // Without the text itself, in which a password may stand.
        let url =
            parsed.ok_or_else(|| Error::Url("the URL of the server must begin with http:// or https://".to_owned()))?;
        let mut key = HeaderValue::try_from(format!("ApiKey {key}"))
            .map_err(|_| Error::Url("the key has a character that no key has".to_owned()))?;
        key.set_sensitive(true);
        let http = reqwest::Client::builder().timeout(TIMEOUT).build();
        Ok(Self {
            http: http.map_err(Error::Unreachable)?,
            url,
            key,
        })
    }

    /// `path` are the parts below `/api`.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<String, Error> {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push("api").extend(path);
        }
        let mut request = self.http.request(method, url).header(AUTHORIZATION, self.key.clone());
        request = request.query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(Error::Unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(Error::Unreachable)?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(refused(status, &text))
        }
    }

    async fn status(&self, id: CommandId, wait: Option<Duration>) -> Result<Status, Error> {
        let query: Vec<_> = wait
            .map(|wait| ("wait_seconds", wait.as_secs_f64().to_string()))
            .into_iter()
            .collect();
        let answer = self.send(Method::GET, &["tasks", &id.to_string()], &query, None).await;
        read::<Task>(&answer.map_err(|error| about(error, id))?).map(Status::from)
    }
}

#[async_trait]
impl Host for Remote {
    async fn push(&self, id: CommandId, entry: Entry) -> Result<(), Error> {
        let mut body = serde_json::to_value(&entry).map_err(|error| Error::Refused(error.to_string()))?;
        body["id"] = json!(id);
        let sent = self.client.send(Method::POST, &["tasks"], &[], Some(&body)).await;
        sent.map(drop).map_err(|error| match error {
            Error::Answer { status: 409, .. } => Error::IdTaken(id),
            other => other,
        })
    }

    async fn status(&self, id: CommandId) -> Result<Status, Error> {
        self.client.status(id, None).await
    }

    async fn wait(&self, id: CommandId, patience: Duration) -> Result<Status, Error> {
        let start = Instant::now();
        loop {
            let left = patience.saturating_sub(start.elapsed());
            let status = self.client.status(id, Some(left.min(WAIT_MOST))).await?;
            if status.state.is_terminal() || start.elapsed() >= patience {
                return Ok(status);
            }
        }
    }

    async fn followers(&self, id: CommandId) -> Result<Followers, Error> {
        let answer = self
            .client
            .send(Method::GET, &["tasks", &id.to_string(), "tree"], &[], None)
            .await;
        let tree: Tree = read(&answer.map_err(|error| about(error, id))?)?;
        Ok(Followers {
            commands: tree.follow_ups.into_iter().map(Status::from).collect(),
            missing: tree.missing_follow_ups.into_iter().map(MissingFollower::from).collect(),
        })
    }

    async fn cancel(&self, id: CommandId) -> Result<Status, Error> {
        let path = ["tasks", &id.to_string(), "cancel"];
        let answer = self.client.send(Method::POST, &path, &[], Some(&json!({}))).await;
        let answer = answer.map_err(|error| match about(error, id) {
            Error::Answer { status: 409, detail } => Error::Refused(detail),
            other => other,
        });
        read::<Task>(&answer?).map(Status::from)
    }

    async fn ended(&self) {
        let has_worker = self.worker.lock().is_some();
        if has_worker {
            self.ended.cancelled().await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    async fn stop(&self) -> Result<(), Error> {
        self.stop.cancel();
        let worker = self.worker.lock().take();
        match worker {
            None => Ok(()),
            Some(worker) => worker.await.map_err(|_panicked| Error::WorkerPanicked),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A task as it is answered, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Task {
    id: CommandId,
    name: String,
    target: String,
    status: State,
    attempt: u32,
    retries_left: u16,
    progress: Option<f64>,
    output: Option<JsonText>,
    error: Option<Fault>,
}

#[derive(Debug, Deserialize)]
struct Tree {
    follow_ups: Vec<Task>,
    missing_follow_ups: Vec<Missing>,
}

#[derive(Debug, Deserialize)]
struct Missing {
    name: String,
    reason: Option<String>,
}

impl From<Missing> for MissingFollower {
    fn from(missing: Missing) -> Self {
        Self {
            name: missing.name,
            reason: missing.reason.unwrap_or_default(),
        }
    }
}

impl From<Task> for Status {
    fn from(task: Task) -> Self {
        // In JSON the output of a command that has nothing to say is as absent as that of one that has not ended.
        let nothing = || (task.status == State::Completed).then(JsonText::null);
        Self {
            id: task.id,
            name: task.name,
            target: task.target,
            state: task.status,
            attempt: task.attempt,
            retries_left: task.retries_left,
            progress: task.progress,
            fault: task.error,
            output: task.output.or_else(nothing),
        }
    }
}

pub(crate) fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T, Error> {
    serde_json::from_str(answer).map_err(|error| Error::Answer {
        status: 200,
        detail: format!("the answer cannot be read: {error}"),
    })
}

/// What a problem document says.
#[derive(Debug, Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<Broken>,
}

#[derive(Debug, Deserialize)]
struct Broken {
    pointer: String,
    message: String,
}

fn refused(status: StatusCode, answer: &str) -> Error {
    let Ok(problem) = serde_json::from_str::<Problem>(answer) else {
        let detail = answer.chars().take(ANSWER_SHOWN).collect();
        return Error::Answer {
            status: status.as_u16(),
            detail,
        };
    };
    let detail = problem.detail.unwrap_or(problem.title);
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        let rules: Vec<String> = problem
            .errors
            .iter()
            .map(|broken| format!("{} {}", broken.pointer, broken.message))
            .collect();
        return Error::Refused(if rules.is_empty() { detail } else { rules.join("; ") });
    }
    Error::Answer {
        status: status.as_u16(),
        detail,
    }
}

fn about(error: Error, id: CommandId) -> Error {
    match error {
        Error::Answer { status: 404, .. } => Error::NotFound(id),
        other => other,
    }
}
