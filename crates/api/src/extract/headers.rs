//! Headers that calls read.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use orchestratum_core::{RequestId, TraceParent};
use orchestratum_engine::Engine;

use super::Parameters;
use crate::problem::{Code, Problem, Result};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The task is unique, and the answer is the one that it met.
pub(crate) const UNIQUE_CONFLICT: HeaderName = HeaderName::from_static("unique-conflict");

pub(crate) const IDEMPOTENT_REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const IDEMPOTENCY_KEY_MAX_LENGTH: usize = 255;

/// The `Idempotency-Key`, if one was sent.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default();
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if values.next().is_some() || text.is_empty() || text.len() > IDEMPOTENCY_KEY_MAX_LENGTH || !plain {
            return Err(Problem::new(
                Code::InvalidHeader,
                format!(
                    "Idempotency-Key must be given once and have 1 to {IDEMPOTENCY_KEY_MAX_LENGTH} characters of visible ASCII"
                ),
            ));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

/// Where a call comes from: `traceparent` and `X-Request-Id`, as far as they are what they should be. They are for those
/// who read logs; a request is never refused for them.
#[derive(Debug)]
pub(crate) struct Origin(pub(crate) orchestratum_core::Origin);

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = |name: &HeaderName| parts.headers.get(name)?.to_str().ok();
        Ok(Self(orchestratum_core::Origin {
            trace_parent: text(&TRACEPARENT).and_then(|text| TraceParent::new(text).ok()),
            request_id: text(&REQUEST_ID).and_then(|text| RequestId::new(text).ok()),
        }))
    }
}

/// The versions a caller's `If-Match` allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// No such header, or `*`.
    Any,
    /// Entity tags of ours. A tag that is weak, or not of our making, matches nothing.
    Versions(Vec<u64>),
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Self::of(&parts.headers))
    }
}

impl IfMatch {
    fn of(headers: &HeaderMap) -> Self {
        let tags: Vec<&str> = headers
            .get_all(header::IF_MATCH)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .map(str::trim)
            .collect();
        if tags.is_empty() || tags.contains(&"*") {
            return Self::Any;
        }
        let version = |tag: &&str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        Self::Versions(tags.iter().filter_map(version).collect())
    }
}

/// How long an answer may be held until the task is over: `?wait_seconds=` or `Prefer: wait=`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wait {
    pub(crate) patience: Option<Duration>,
    /// What `Preference-Applied` says.
    applied: Option<u64>,
}

impl FromRequestParts<Engine> for Wait {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &Engine) -> Result<Self> {
        let longest = Duration::from_secs_f64(engine.settings().api.max_wait_seconds);
        let mut parameters = Parameters::of(parts);
        let seconds = parameters.take::<f64>("wait_seconds", "must be a number of seconds from 0")?;
        parameters.finish(&["wait_seconds"])?;
        if let Some(seconds) = seconds {
            let asked = Duration::try_from_secs_f64(seconds).map_err(|_| {
                Problem::broken(
                    Code::InvalidQuery,
                    "/wait_seconds",
                    format!("must be a number of seconds from 0, not {seconds}"),
                )
            })?;
            return Ok(Self {
                patience: Some(asked.min(longest)),
                applied: None,
            });
        }
        // A preference that cannot be read is passed over, as RFC 7240 asks.
        let preferred = preferred_wait(&parts.headers).map(|seconds| seconds.min(longest.as_secs()));
        Ok(Self {
            patience: preferred.map(Duration::from_secs),
            applied: preferred,
        })
    }
}

impl Wait {
    pub(crate) fn note(self, headers: &mut HeaderMap) {
        if let Some(seconds) = self.applied {
            let value = HeaderValue::from_str(&format!("wait={seconds}")).expect("digits are visible ASCII");
            headers.insert(HeaderName::from_static("preference-applied"), value);
        }
    }
}

fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split([',', ';']))
        .filter_map(|preference| preference.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn entity_tags_are_compared_strongly() {
        let of = |value| IfMatch::of(&headers(header::IF_MATCH, value));
        assert_eq!(IfMatch::of(&HeaderMap::new()), IfMatch::Any);
        assert_eq!(of("*"), IfMatch::Any);
        assert_eq!(of("\"3\", \"4\""), IfMatch::Versions(vec![3, 4]));
        assert_eq!(of("W/\"3\""), IfMatch::Versions(vec![]));
        assert_eq!(of("3"), IfMatch::Versions(vec![]));
    }

    #[test]
    fn a_preference_to_wait_is_found_among_others() {
        assert_eq!(preferred_wait(&headers(PREFER, "respond-async, wait=10")), Some(10));
        assert_eq!(preferred_wait(&headers(PREFER, "Wait = \"5\"")), Some(5));
        assert_eq!(preferred_wait(&headers(PREFER, "wait=soon")), None);
    }
}
