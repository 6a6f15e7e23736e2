//! JSON bodies: parsed once, from what [`changes`](crate::changes) has read.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use orchestratum_core::Objects;
use orchestratum_core::task::json_pointer;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::changes::Content;
use crate::problem::{Code, Problem, Result};

/// A body that must be there.
#[derive(Debug)]
pub(crate) struct Json<T> {
    pub(crate) value: T,
    /// As it came, for the hash that tells a repeated request from another one.
    pub(crate) bytes: Bytes,
}

/// A body that may be left out, with its content type.
#[derive(Debug)]
pub(crate) struct OptionalJson<T> {
    pub(crate) value: T,
    /// What was read into `value` is counted as long as that may be in use.
    _bytes: Bytes,
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        check_content_type(&parts.headers)?;
        let bytes = content(parts);
        Ok(Self {
            value: parse(&bytes)?,
            bytes,
        })
    }
}

impl<T: DeserializeOwned + Default, S: Sync> FromRequestParts<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let bytes = content(parts);
        let value = if bytes.is_empty() {
            T::default()
        } else {
            check_content_type(&parts.headers)?;
            parse(&bytes)?
        };
        Ok(Self { value, _bytes: bytes })
    }
}

/// Only a request that is open, or only reads, has none, and such a request has no business with a body.
pub(super) fn content(parts: &mut Parts) -> Bytes {
    parts
        .extensions
        .remove()
        .map_or_else(Bytes::new, |Content(bytes)| bytes)
}

fn check_content_type(headers: &HeaderMap) -> Result<()> {
    match content_type(headers).as_deref() {
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

/// Without its parameters.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The fast path knows no places; only a body that is refused is read a second time to find where.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let read = || {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = T::deserialize(Objects(&mut deserializer))?;
        deserializer.end()?;
        Ok(value)
    };
    read().or_else(|error: serde_json::Error| {
        // What is passed over is not checked for UTF-8 by the parser.
        if str::from_utf8(bytes).is_err() || serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
            return Err(Problem::new(
                Code::MalformedJson,
                format!("the body is not JSON: {error}"),
            ));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        match serde_path_to_error::deserialize::<_, T>(Objects(&mut deserializer)) {
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
    let message = in_words(message.trim());
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&json_pointer(&index.to_string())),
            Segment::Map { key } => pointer.push_str(&json_pointer(key)),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    for prefix in ["missing field `", "unknown field `", "duplicate field `"] {
        if let Some(name) = message.strip_prefix(prefix).and_then(|rest| rest.split_once('`')) {
            let last = json_pointer(name.0);
            if !pointer.ends_with(&last) {
                pointer.push_str(&last);
            }
        }
    }
    Problem::broken(Code::InvalidBody, pointer, message)
}

/// What the deserializer expected, as JSON calls it.
fn in_words(message: &str) -> String {
    let Some((found, expected)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    let kind = expected.split(' ').next().unwrap_or_default();
    let expected = match kind {
        "a" if expected == "a map" => "an object",
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "struct" | "internally" | "map" => "an object",
        "sequence" => "an array",
        "bool" | "boolean" => "true or false",
        _ => expected,
    };
    format!("{found}, expected {expected}")
}
