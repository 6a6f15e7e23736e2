//! Where a reader of events stands.

use std::fmt::Display;

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use orchestratum_engine::changes::ChangeId;
use orchestratum_store::LogPosition;

use crate::problem::{Code, Problem, Result};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What an event of a log is called.
pub(crate) fn event_id(attempt: u32, sequence: u32) -> String {
    format!("{attempt}-{sequence}")
}

/// The `Last-Event-ID`: reading goes on behind it. From the beginning without one; an empty one says no more.
#[derive(Debug)]
pub(crate) struct LastEventId(pub(crate) LogPosition);

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let Some(text) = given(parts) else {
            return Ok(Self(LogPosition::default()));
        };
        let place = behind(text).ok_or_else(|| refused(text, "must be the id of an event, such as 1-0"))?;
        Ok(Self(place))
    }
}

/// The `Last-Event-ID` of a stream of changes, if one was sent.
#[derive(Debug)]
pub(crate) struct LastChangeId(pub(crate) Option<ChangeId>);

impl<S: Sync> FromRequestParts<S> for LastChangeId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let place = given(parts).map(|text| text.parse().map_err(|error| refused(text, error)));
        place.transpose().map(Self)
    }
}

fn given(parts: &Parts) -> Option<&str> {
    let text = parts.headers.get(LAST_EVENT_ID)?.to_str().unwrap_or("not ASCII");
    (!text.is_empty()).then_some(text)
}

fn refused(given: &str, rule: impl Display) -> Problem {
    Problem::new(Code::InvalidHeader, format!("Last-Event-ID {rule}, not {given:?}"))
}

fn behind(id: &str) -> Option<LogPosition> {
    let number = |digits: &str| {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let (attempt, sequence) = id.split_once('-')?;
    Some(LogPosition {
        attempt: number(attempt)?,
        sequence: number(sequence)?.checked_add(1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_behind_its_event_and_nothing_else_does() {
        let position = |attempt, sequence| Some(LogPosition { attempt, sequence });
        assert_eq!(behind(&event_id(1, 0)), position(1, 1));
        assert_eq!(behind(&event_id(12, 345)), position(12, 346));
        for bad in ["", "1", "-", "1-", "-1", "1-+1", "1-1-1", "1-4294967295", "1-x", " 1-1"] {
            assert_eq!(behind(bad), None, "{bad}");
        }
    }
}
