//! Queues are looked at, paused and resumed.

use orchestratum_broker::Signal;
use orchestratum_core::task::TargetRate;
use orchestratum_core::{Target, Timestamp};
use orchestratum_store::{Audit, Queue};

use crate::{Engine, Error};

/// The queues at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    pub queues: Vec<Queue>,
    /// Where counting is dear, its result is kept for a while.
    pub counted_at: Timestamp,
}

impl Engine {
    pub async fn queues(&self) -> Result<Queues, Error> {
        let engine = self.clone();
        let question = async move {
            let counted_at = engine.parts.clock.now();
            let queues = engine.parts.store.queues().await?;
            Ok(Queues { queues, counted_at })
        };
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
        self.parts.queues.outdate();
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
        self.parts.queues.outdate();
        // The messages of the tasks that wait were used up while it was paused.
        self.wake(target);
        Ok(())
    }

    /// How often tasks of a target start; `None` if whenever a worker has time.
    pub async fn rate(&self, target: &Target) -> Result<Option<TargetRate>, Error> {
        let bucket = self.parts.store.rate(target).await?;
        Ok(bucket.map(|bucket| TargetRate {
            limit: bucket.limit,
            per: bucket.per,
            burst: bucket.burst,
        }))
    }

    /// What was claimed before goes on.
    pub async fn set_rate(
        &self,
        target: &Target,
        rate: Option<TargetRate>,
        actor: Option<String>,
    ) -> Result<(), Error> {
        let told = rate.map_or_else(String::new, |rate| {
            format!(
                ": {} in {} s, {} at once",
                rate.limit,
                rate.per.as_secs_f64(),
                rate.burst
            )
        });
        let audit = Audit {
            actor,
            action: if rate.is_some() { "set_rate" } else { "remove_rate" },
            detail: Some(format!("{target}{told}")),
        };
        let now = self.parts.clock.now();
        self.parts.store.set_rate(target, rate, &audit, now).await?;
        self.wake(target);
        Ok(())
    }

    /// Whoever is idle looks for tasks of the target.
    pub(crate) fn wake(&self, target: &Target) {
        self.parts.signals.send(Signal::Ready {
            targets: vec![target.clone()],
        });
    }
}
