//! What goes wrong on demand.

use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::reply::Reply;

/// Met by the next requests that it is for; several wait for their turn in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `None`: all.
    #[serde(default)]
    pub method: Option<String>,
    /// A part of the decoded path, such as `repository/commits`.
    #[serde(default)]
    pub path: String,
    /// How many requests meet it.
    #[serde(default = "once")]
    pub times: u32,
    #[serde(flatten)]
    pub kind: FaultKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// 429.
    Limited { retry_after: Option<String> },
    /// An answer instead of the true one; `is_done`: after what was asked for has been done.
    Answer {
        status: u16,
        content_type: String,
        body: String,
        #[serde(default)]
        retry_after: Option<String>,
        #[serde(default)]
        is_done: bool,
    },
    /// The connection is closed; nothing is done.
    HangUp,
    /// What was asked for is done, and the connection closed without an answer.
    LoseAnswer,
    /// It is done, and the connection closed within the answer.
    CutAnswer,
    /// It is done at once, and the answer comes late.
    SlowAnswer { milliseconds: u64 },
    /// It is done late, also when nobody waits for the answer any more.
    LateEffect { milliseconds: u64 },
}

fn once() -> u32 {
    1
}

impl Fault {
    /// For one request with this method, whose path has this part.
    pub fn on(method: &str, path: &str, kind: FaultKind) -> Self {
        Self {
            method: Some(method.to_owned()),
            path: path.to_owned(),
            times: 1,
            kind,
        }
    }

    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    fn is_for(&self, method: &Method, path: &str) -> bool {
        let is_method = self.method.as_ref().is_none_or(|wanted| method.as_str() == wanted);
        self.times > 0 && is_method && path.contains(&self.path)
    }
}

impl FaultKind {
    pub fn internal_error() -> Self {
        Self::answer(500, "application/json", r#"{"message":"500 Internal Server Error"}"#)
    }

    /// Of a proxy before GitLab.
    pub fn bad_gateway() -> Self {
        let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502</h1></body>\r\n</html>\r\n";
        Self::answer(502, "text/html", page)
    }

    pub fn answer(status: u16, content_type: &str, body: &str) -> Self {
        Self::Answer {
            status,
            content_type: content_type.to_owned(),
            body: body.to_owned(),
            retry_after: None,
            is_done: false,
        }
    }

    /// Of a GitLab that is being maintained, which says when to come again.
    pub fn in_maintenance(retry_after: &str) -> Self {
        Self::Answer {
            status: 503,
            content_type: "application/json".to_owned(),
            body: r#"{"message":"GitLab is currently in maintenance mode"}"#.to_owned(),
            retry_after: Some(retry_after.to_owned()),
            is_done: false,
        }
    }

    /// The same after what was asked for has been done.
    #[must_use]
    pub fn after_effect(self) -> Self {
        match self {
            Self::Answer {
                status,
                content_type,
                body,
                retry_after,
                ..
            } => Self::Answer {
                status,
                content_type,
                body,
                retry_after,
                is_done: true,
            },
            other => other,
        }
    }

    /// What is said instead of the truth, and whether the truth is made first.
    pub(super) fn other_answer(&self) -> Option<(Reply, bool)> {
        match self {
            Self::Limited { retry_after } => {
                let body =
                    br#"{"message":{"error":"This endpoint has been requested too many times. Try again later."}}"#;
                let reply = Reply::bytes(StatusCode::TOO_MANY_REQUESTS, "application/json", body.to_vec());
                Some((asking_to_wait(reply, retry_after.as_deref()), false))
            }
            Self::Answer {
                status,
                content_type,
                body,
                retry_after,
                is_done,
            } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let content_type = if content_type == "text/html" {
                    "text/html"
                } else {
                    "application/json"
                };
                let reply = Reply::bytes(status, content_type, body.clone().into_bytes());
                Some((asking_to_wait(reply, retry_after.as_deref()), *is_done))
            }
            Self::HangUp | Self::LoseAnswer | Self::CutAnswer | Self::SlowAnswer { .. } | Self::LateEffect { .. } => {
                None
            }
        }
    }
}

fn asking_to_wait(reply: Reply, retry_after: Option<&str>) -> Reply {
    match retry_after {
        Some(value) => reply.with_header("retry-after", value),
        None => reply,
    }
}

/// Those that are still to be met.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the first that is for this request.
    pub(super) fn meet(&mut self, method: &Method, path: &str) -> Option<FaultKind> {
        let fault = self.0.iter_mut().find(|fault| fault.is_for(method, path))?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }
}
