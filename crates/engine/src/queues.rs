//! Queues are looked at, paused and resumed.

use orchestratum_broker::Signal;
use orchestratum_core::Target;
use orchestratum_store::{Audit, Queue};

use crate::{Engine, Error};

impl Engine {
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        Ok(self.parts.store.queues().await?)
    }

    /// A claim that committed before the pause may still start; nothing is claimed later.
    pub async fn pause(&self, target: &Target, actor: Option<String>) -> Result<(), Error> {
        let audit = Audit {
            actor,
            action: "pause",
            detail: Some(target.to_string()),
        };
        Ok(self
            .parts
            .store
            .set_paused(target, true, &audit, self.parts.clock.now())
            .await?)
    }

    pub async fn resume(&self, target: &Target, actor: Option<String>) -> Result<(), Error> {
        let audit = Audit {
            actor,
            action: "resume",
            detail: Some(target.to_string()),
        };
        self.parts
            .store
            .set_paused(target, false, &audit, self.parts.clock.now())
            .await?;
        // The messages of the tasks that wait were used up while it was paused.
        self.parts.signals.send(Signal::Ready {
            targets: vec![target.clone()],
        });
        Ok(())
    }
}
