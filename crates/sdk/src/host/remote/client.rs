//! Requests to a server, and what it says when it refuses one.

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_MATCH};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::Error;

/// Longer than one request waits for the end of a command, or for something to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long one request may wait for something to happen: less than servers allow by default.
const WAIT_MOST: Duration = Duration::from_secs(30);

/// How often it is asked for at most. A server may be told to hold hardly any answer.
pub(super) const ASKED_EVERY: Duration = Duration::from_millis(250);

/// What is shown of an answer that is no problem document.
const ANSWER_SHOWN: usize = 500;

#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    key: HeaderValue,
}

impl Client {
    pub(super) fn new(url: &str, key: &str) -> Result<Self, Error> {
        // Somebody else may have chosen one for the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let parsed = url.parse().ok().filter(|url: &Url| !url.cannot_be_a_base());
        // Without the text itself, in which a password may stand.
        let url =
            parsed.ok_or_else(|| Error::Url("the URL of the server must begin with http:// or https://".to_owned()))?;
        let mut key = HeaderValue::try_from(format!("ApiKey {key}"))
            .map_err(|_| Error::Url("the key has a character that no key has".to_owned()))?;
        key.set_sensitive(true);
        let http = reqwest::Client::builder().timeout(PATIENCE).build();
        Ok(Self {
            http: http.map_err(Error::Unreachable)?,
            url,
            key,
        })
    }

    /// What is at a path below `/api`.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<String, Failed> {
        self.send(self.request(Method::GET, path).query(query)).await
    }

    /// What is there when it is as its caller wants it, or after `patience`. A server holds an answer for as long as its own setting
    /// says, so it is asked again.
    pub(super) async fn get_when<T: DeserializeOwned>(
        &self,
        path: &[&str],
        patience: Duration,
        is_wanted: impl Fn(&T) -> bool + Send,
    ) -> Result<T, Failed> {
        let start = Instant::now();
        loop {
            let asked = Instant::now();
            let wait = patience.saturating_sub(start.elapsed()).min(WAIT_MOST);
            let query = [("wait_seconds", wait.as_secs_f64().to_string())];
            let found = read(&self.get(path, &query).await?)?;
            if is_wanted(&found) || start.elapsed() >= patience {
                return Ok(found);
            }
            let left = patience.saturating_sub(start.elapsed());
            sleep(ASKED_EVERY.saturating_sub(asked.elapsed()).min(left)).await;
        }
    }

    /// Puts a text of JSON there.
    pub(super) async fn put(&self, path: &[&str], text: String) -> Result<String, Failed> {
        let request = self.request(Method::PUT, path).header(CONTENT_TYPE, "application/json");
        self.send(request.body(text)).await
    }

    /// A post that is refused where what is there has another version.
    pub(super) async fn post_at(
        &self,
        path: &[&str],
        body: &(impl Serialize + Sync),
        version: Option<u64>,
    ) -> Result<String, Failed> {
        let request = self.request(Method::POST, path).json(body);
        self.send(match version {
            Some(version) => request.header(IF_MATCH, format!("\"{version}\"")),
            None => request,
        })
        .await
    }

    pub(super) async fn post(
        &self,
        path: &[&str],
        body: &(impl Serialize + Sync),
        patience: Duration,
    ) -> Result<String, Failed> {
        self.send(self.request(Method::POST, path).json(body).timeout(patience))
            .await
    }

    fn request(&self, method: Method, path: &[&str]) -> reqwest::RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push("api").extend(path);
        }
        self.http.request(method, url).header(AUTHORIZATION, self.key.clone())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<String, Failed> {
        // Its address is the caller's, who may have put a password into it.
        let unreachable = |error: reqwest::Error| Failed::Unreachable(error.without_url());
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(Failed::Refused(Refusal::read(status, &text)))
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("the server cannot be asked")]
    Unreachable(#[source] reqwest::Error),
    #[error("{0}")]
    Refused(Refusal),
    #[error("the answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    pub(super) rules: Vec<Broken>,
    /// What kind of refusal it is; empty if it is no problem document.
    pub(super) code: String,
    /// The events that a saga takes, where it did not take another.
    pub(super) takes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Broken {
    pub(super) pointer: String,
    pub(super) message: String,
    /// The name that was probably meant in a saga definition.
    #[serde(default)]
    pub(super) suggestion: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<Broken>,
    #[serde(default)]
    code: String,
    #[serde(default)]
    takes: Vec<String>,
}

impl Failed {
    /// Whether the same request may be answered the next time.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(refusal) => {
                refusal.status.is_server_error() || refusal.status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Unreadable(_) => false,
        }
    }

    pub(super) fn has_status(&self, status: StatusCode) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == status)
    }
}

impl Refusal {
    fn read(status: StatusCode, answer: &str) -> Self {
        match serde_json::from_str::<Problem>(answer) {
            Ok(problem) => Self {
                status,
                detail: problem.detail.unwrap_or(problem.title),
                rules: problem.errors,
                code: problem.code,
                takes: problem.takes,
            },
            Err(_) => Self {
                status,
                detail: answer.chars().take(ANSWER_SHOWN).collect(),
                rules: Vec::new(),
                code: String::new(),
                takes: Vec::new(),
            },
        }
    }

    /// Whether it is what was sent that cannot be taken: the same would be refused again, and something else may be taken.
    pub(super) fn is_of_the_body(&self) -> bool {
        const OF_THE_BODY: [StatusCode; 3] = [
            StatusCode::BAD_REQUEST,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        OF_THE_BODY.contains(&self.status)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rules.is_empty() {
            return f.write_str(&self.detail);
        }
        for (place, broken) in self.rules.iter().enumerate() {
            let between = if place == 0 { "" } else { "; " };
            write!(f, "{between}{} {}", broken.pointer, broken.message)?;
        }
        Ok(())
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unreachable(error) => Self::Unreachable(error),
            Failed::Refused(refusal) if refusal.status == StatusCode::UNPROCESSABLE_ENTITY => {
                Self::Refused(refusal.to_string())
            }
            Failed::Refused(refusal) => Self::Answer {
                status: refusal.status.as_u16(),
                detail: refusal.to_string(),
            },
            Failed::Unreadable(error) => Self::Answer {
                status: 200,
                detail: format!("the answer cannot be read: {error}"),
            },
        }
    }
}

pub(super) fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T, Failed> {
    serde_json::from_str(answer).map_err(Failed::Unreadable)
}
