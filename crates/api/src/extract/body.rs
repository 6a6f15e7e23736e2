//! JSON bodies: bounded in size and time, parsed once.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use orchestratum_engine::Engine;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::problem::{Code, Problem, Result};

/// What one request may carry. `/batch` takes more.
pub(crate) const BODY_MAX_BYTES: usize = 1 << 20;

/// A body that must be there.
#[derive(Debug)]
pub(crate) struct Json<T, const MAX_BYTES: usize = BODY_MAX_BYTES> {
    pub(crate) value: T,
    /// As it came, for the hash that tells a repeated request from another one.
    pub(crate) bytes: Bytes,
}

/// A body that may be left out, with its content type.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned, const MAX_BYTES: usize> FromRequest<Engine> for Json<T, MAX_BYTES> {
    type Rejection = Problem;

    async fn from_request(request: Request, engine: &Engine) -> Result<Self> {
        let (parts, body) = request.into_parts();
        check_content_type(&parts.headers)?;
        let bytes = read(&parts.headers, body, MAX_BYTES, engine).await?;
        Ok(Self {
            value: parse(&bytes)?,
            bytes,
        })
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Engine> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, engine: &Engine) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, BODY_MAX_BYTES, engine).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_content_type(&parts.headers)?;
        Ok(Self(parse(&bytes)?))
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some("application/json" | "application/merge-patch+json") => Ok(()),
        other => Err(Problem::new(
            Code::UnsupportedMediaType,
            format!(
                "the content type must be application/json, not {}",
                other.unwrap_or("missing")
            ),
        )),
    }
}

async fn read(headers: &HeaderMap, body: Body, max_bytes: usize, engine: &Engine) -> Result<Bytes> {
    let too_large = || {
        Problem::new(
            Code::BodyTooLarge,
            format!("the body must not be larger than {max_bytes} bytes"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(too_large());
    }
    let patience = Duration::from_secs_f64(engine.settings().api.body_timeout_seconds);
    let collected = tokio::time::timeout(patience, Limited::new(body, max_bytes).collect());
    match collected.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::BadRequest, "the body broke off before its end")),
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            format!("the body must arrive within {} s", patience.as_secs_f64()),
        )),
    }
}

/// The fast path knows no places; only a body that is refused is read a second time to find where.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).or_else(|error| {
        // What is passed over is not checked for UTF-8 by the parser.
        if str::from_utf8(bytes).is_err() || serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
            return Err(Problem::new(
                Code::MalformedJson,
                format!("the body is not JSON: {error}"),
            ));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Ok(value) => Ok(value),
            Err(error) => Err(fault(&error)),
        }
    })
}

fn fault(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    use serde_path_to_error::Segment;

    let text = error.inner().to_string();
    // The position is in bytes of the body; the pointer says it better.
    let message = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => push_name(&mut pointer, &index.to_string()),
            Segment::Map { key } => push_name(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    for prefix in ["missing field `", "unknown field `", "duplicate field `"] {
        if let Some(name) = message.strip_prefix(prefix).and_then(|rest| rest.split_once('`')) {
            let mut last = String::new();
            push_name(&mut last, name.0);
            if !pointer.ends_with(&last) {
                pointer.push_str(&last);
            }
        }
    }
    Problem::broken(Code::InvalidBody, pointer, message)
}

/// RFC 6901 escapes, so that the pointer stays one.
fn push_name(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}
