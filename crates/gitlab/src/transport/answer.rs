use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName};
use serde::de::DeserializeOwned;

use crate::Problem;

/// What came of a request that was done.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // The place, and no part of the answer.
        let unreadable = |error: serde_json::Error| match error.classify() {
            serde_json::error::Category::Data => {
                let (line, column) = (error.line(), error.column());
                Problem::Unreadable(format!("it is not what it should be at line {line}, column {column}"))
            }
            _ => Problem::Unreadable("it is no JSON".to_owned()),
        };
        serde_json::from_slice(&self.body).map_err(unreadable)
    }

    /// A header that is a text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
