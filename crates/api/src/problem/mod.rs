//! Every refusal and failure leaves as a problem document (RFC 9457).
//!
//! A handler returns a [`Problem`]; [`observe`](crate::observe) writes its body, because only there the request id is
//! known. Whatever else answers with an error status (the router, a middleware, a panic) is turned into one there, too.

mod code;
mod from_engine;

use std::fmt;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestratum_core::SagaId;
use orchestratum_core::saga::{self, Faults, Place};
use orchestratum_core::task::{Violation, Violations};
use serde::Serialize;
use utoipa::ToSchema;

pub use code::Code;

pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    /// What a person reads: it names the bad value and what is allowed. Never the inner causes of a failure of ours.
    detail: String,
    faults: Vec<Fault>,
    /// The events that are taken in the place of the one that was refused.
    takes: Option<Vec<String>>,
    /// What keeps on, although this answer is no success.
    saga: Option<SagaId>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document {
    /// The page that explains the code.
    #[serde(rename = "type")]
    #[schema(example = "/docs/errors/task_not_found")]
    kind: String,
    #[schema(example = "There is no such task")]
    title: &'static str,
    #[schema(example = 404)]
    status: u16,
    #[schema(example = "there is no task 01936e5a-7c00-7000-8000-000000000000")]
    detail: String,
    /// Stable: branch on this one.
    #[schema(example = "task_not_found")]
    code: &'static str,
    /// The `X-Request-Id` of the answer; the logs carry it.
    request_id: String,
    /// Which fields are wrong, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Fault>>,
    /// With `event_not_taken`: the events that the saga takes in the state in which it is, or where no state takes it, those of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    takes: Option<Vec<String>>,
    /// The saga that was started or found, and cannot go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    saga_id: Option<SagaId>,
}

/// One broken rule.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// A JSON pointer (RFC 6901) into the body, or into the query as an object of its parameters.
    #[schema(example = "/ttl_seconds")]
    pointer: String,
    #[schema(example = "must lie between 0.001 and 3155760000 seconds, not -1")]
    message: String,
    /// In a saga definition: where it stands in the text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// Likewise, in characters from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// The name that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
}

impl From<Violation> for Fault {
    fn from(Violation { pointer, message }: Violation) -> Self {
        Self {
            pointer,
            message,
            line: None,
            column: None,
            suggestion: None,
        }
    }
}

impl From<saga::Fault> for Fault {
    fn from(fault: saga::Fault) -> Self {
        let saga::Fault {
            pointer,
            place,
            message,
            suggestion,
        } = fault;
        Self {
            pointer,
            message,
            line: place.map(|Place { line, .. }| line),
            column: place.map(|Place { column, .. }| column),
            suggestion,
        }
    }
}

/// The part of a problem that is its own, where one answer has several.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProblemSummary)]
pub(crate) struct Summary {
    #[schema(example = 409)]
    status: u16,
    /// Stable: branch on this one.
    #[schema(example = "attempt_over")]
    code: &'static str,
    detail: String,
    errors: Vec<Fault>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            faults: Vec::new(),
            takes: None,
            saga: None,
            headers: Vec::new(),
        }
    }

    /// A request that breaks rules, each with its place.
    pub(crate) fn invalid(code: Code, violations: Violations) -> Self {
        let detail = violations
            .0
            .first()
            .map_or_else(String::new, |first| match first.pointer.as_str() {
                "" => format!("the body: {first}"),
                _ => first.to_string(),
            });
        Self {
            faults: violations.0.into_iter().map(Fault::from).collect(),
            ..Self::new(code, detail)
        }
    }

    /// With the places of what is wrong.
    #[must_use]
    pub(crate) fn of(self, violations: Violations) -> Self {
        Self {
            faults: violations.0.into_iter().map(Fault::from).collect(),
            ..self
        }
    }

    /// A definition with everything that is wrong in it.
    pub(crate) fn invalid_definition(faults: Faults) -> Self {
        let detail = match faults.0.as_slice() {
            [] => String::new(),
            [only] => only.to_string(),
            [first, others @ ..] => format!("{first}; and {} more, see errors", others.len()),
        };
        Self {
            faults: faults.0.into_iter().map(Fault::from).collect(),
            ..Self::new(Code::InvalidDefinition, detail)
        }
    }

    /// A request that breaks one rule.
    pub(crate) fn broken(code: Code, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let mut violations = Violations::default();
        violations.add(pointer, message);
        Self::invalid(code, violations)
    }

    /// A failure of ours: the causes go to the log, the client gets the request id to ask with.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %orchestratum_engine::error::chain(error), "a request failed");
        Self::new(Code::InternalError, "the failure is in the logs under the request id")
    }

    /// With what is taken in the place of what was refused.
    #[must_use]
    pub(crate) fn taking(mut self, takes: Vec<String>) -> Self {
        self.takes = Some(takes);
        self
    }

    /// Of a saga that cannot go on.
    #[must_use]
    pub(crate) fn of_saga(mut self, saga: SagaId) -> Self {
        self.saga = Some(saga);
        self
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn summary(self) -> Summary {
        Summary {
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: self.detail,
            errors: self.faults,
        }
    }

    pub(crate) fn to_body(&self, request_id: &str) -> Vec<u8> {
        let document = Document {
            kind: format!("/docs/errors/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code.as_str(),
            request_id: request_id.to_owned(),
            errors: (!self.faults.is_empty()).then(|| self.faults.clone()),
            takes: self.takes.clone(),
            saga_id: self.saga,
        };
        serde_json::to_vec(&document).expect("texts and numbers are always JSON")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Problem {}

/// The answer without its body, which waits for the request id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        // Whoever knows better has said it.
        if !response.headers().contains_key(header::RETRY_AFTER)
            && let Some(seconds) = self.code.retry_after_seconds()
        {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

/// What an answer with an error status and without a problem document is turned into.
pub(crate) fn of_status(status: StatusCode) -> Problem {
    let code = Code::of_status(status);
    let detail = match code {
        Code::RouteNotFound => "the paths are listed at /api-docs/openapi.json".to_owned(),
        Code::MethodNotAllowed => "the header Allow lists the methods".to_owned(),
        other => format!("{} ({})", other.title(), status.as_u16()),
    };
    Problem::new(code, detail)
}
