//! Queues are looked at, paused and resumed.

use orchestratum_broker::Signal;
use orchestratum_core::Target;
use orchestratum_store::{Audit, Queue};

use crate::{Engine, Error};

impl Engine {
    /// Where the backlog is large, as it was a moment ago.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let question = async { Ok(self.parts.store.queues().await?) };
        self.parts.queues.or_ask(question).await
    }

    /// A claim that committed before the pause may still start; nothing is claimed later.
    pub async fn pause(&self, target: &Target, actor: Option<String>) -> Result<(), Error> {
        let audit = Audit {
            actor,
            action: "pause",
            detail: Some(target.to_string()),
        };
        self.parts
            .store
            .set_paused(target, true, &audit, self.parts.clock.now())
            .await?;
        self.parts.queues.is_outdated();
        Ok(())
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
        self.parts.queues.is_outdated();
        // The messages of the tasks that wait were used up while it was paused.
        self.parts.signals.send(Signal::Ready {
            targets: vec![target.clone()],
        });
        Ok(())
    }
}
