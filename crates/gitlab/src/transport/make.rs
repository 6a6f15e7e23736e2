//! Requests that make something, which must not be made twice.
//!
//! ```text
//!           ┌───────────────────────────────┐
//!           ▼                               │ a pause
//!   may it be there? ──no──► send ──2xx──► New
//!        │ yes                 │
//!        ▼                     ├─ 429, no connection: it is not there ──────────┐
//!      look ──found──► Again   ├─ 5xx, timeout, broken off: it may be there ────┤ (a pause)
//!        │ not there           └─ refused: because it is there? ──look──► found │ or the refusal
//!        └──► send                                                              ▼
//! ```

use std::future::Future;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Request;
use super::tries::Tries;
use crate::{Client, Error, Made, Problem};

/// How something is made, and how it is found.
pub(crate) trait Make: Sync {
    type Thing: DeserializeOwned + Send;

    fn request(&self) -> Request;

    /// Looks for it. `is_unclear`: a request of this step may have made it.
    fn look(
        &self,
        client: &Client,
        deadline: Instant,
        is_unclear: bool,
    ) -> impl Future<Output = Result<Option<Made<Self::Thing>>, Problem>> + Send;

    /// In words: "make the branch …".
    fn wanted(&self) -> String;
}

impl Client {
    pub(crate) async fn make<M: Make>(&self, make: &M, begun_before: bool) -> Result<Made<M::Thing>, Error> {
        let mut is_unclear = begun_before;
        let result = self.make_or_find(make, &mut is_unclear).await;
        result.map_err(|problem| {
            let error = Error::new(make.wanted(), problem);
            if is_unclear { error.of_unclear_end() } else { error }
        })
    }

    async fn make_or_find<M: Make>(&self, make: &M, is_unclear: &mut bool) -> Result<Made<M::Thing>, Problem> {
        let deadline = self.deadline();
        let request = make.request();
        let mut tries = Tries::new(self, deadline);
        loop {
            if *is_unclear && let Some(found) = make.look(self, deadline, true).await? {
                return Ok(found);
            }
            let sent = self.once(&request, deadline).await;
            let problem = match sent.and_then(|answer| answer.read()) {
                Ok(thing) => return Ok(Made::New(thing)),
                Err(problem) => problem,
            };
            *is_unclear |= problem.leaves_unclear();
            if problem.may_come_of_ourselves() {
                let found = match make.look(self, deadline, *is_unclear).await {
                    Ok(found) => found,
                    // Nothing of ours is on the way, so what GitLab said first is the answer.
                    Err(other) if !*is_unclear && !other.is_transient() => None,
                    Err(other) => return Err(other),
                };
                // GitLab has decided: neither is it there, nor will it be made.
                *is_unclear &= found.is_none() && problem.leaves_unclear();
                return found.ok_or(problem);
            }
            tries.after(problem).await?;
        }
    }
}
