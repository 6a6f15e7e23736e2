//! JSON bodies: parsed once, from what [`changes`](crate::changes) has read.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use orchestratum_core::task::Violation;
use orchestratum_core::{Unread, read_json};
use serde::de::DeserializeOwned;

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

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    read_json(bytes).map_err(|unread| match unread {
        Unread::NotJson(why) => Problem::new(Code::MalformedJson, format!("the body is not JSON: {why}")),
        Unread::Misshapen(Violation { pointer, message }) => Problem::broken(Code::InvalidBody, pointer, message),
    })
}
