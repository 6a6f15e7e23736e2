//! Calls that only read.

use serde::de::DeserializeOwned;

use crate::transport::Request;
use crate::{Client, Error, Problem};

impl Client {
    /// `wanted` in words: "get the issue …".
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        request: &Request,
        wanted: impl Fn() -> String,
    ) -> Result<T, Error> {
        let answer = self.repeat(request, self.deadline()).await;
        answer
            .and_then(|answer| answer.read())
            .map_err(|problem| Error::new(wanted(), problem))
    }
}

/// `None` where GitLab says that there is nothing.
pub(super) fn found<T>(result: Result<T, Problem>) -> Result<Option<T>, Problem> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Problem::NotFound(_)) => Ok(None),
        Err(problem) => Err(problem),
    }
}
