//! Claiming: a worker takes the tasks its messages named and fills up with others that are ready.

use orchestratum_store::{ClaimRequest, ClaimedTask};

use crate::{Engine, Error, journal};

impl Engine {
    /// After an error the outcome is unknown: the worker renews its lease at once, and hands back what the database
    /// lists for it and it does not run.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Vec<ClaimedTask>, Error> {
        let claimed = self.parts.store.claim(request, self.parts.clock.now()).await?;
        for task in &claimed {
            journal::claimed(task, request.worker);
        }
        self.moved(|| claimed.iter().map(|task| task.id));
        metrics::counter!("orchestratum_tasks_claimed_total").increment(claimed.len() as u64);
        Ok(claimed)
    }
}
