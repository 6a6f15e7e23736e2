//! Requests that may be sent any number of times.

use tokio::time::Instant;

use super::tries::Tries;
use super::{Answer, Request};
use crate::{Client, Problem};

impl Client {
    pub(crate) async fn repeat(&self, request: &Request, deadline: Instant) -> Result<Answer, Problem> {
        let mut tries = Tries::new(self, deadline);
        loop {
            match self.once(request, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(problem) => tries.after(problem).await?,
            }
        }
    }
}
