//! Counts for dashboards and alarms.

use std::collections::BTreeMap;

use orchestratum_core::Timestamp;
use orchestratum_core::task::TaskStatus;

use crate::{Engine, Error, Queues};

/// Where counting stops: about a second's work for a database.
pub const COUNTED_TASKS: usize = 10_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    pub counts: Counts,
    /// Counted at a moment of their own.
    pub queues: Queues,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Every status has an entry.
    pub by_status: BTreeMap<TaskStatus, u64>,
    /// More than [`COUNTED_TASKS`] are stored: there may be more of each status than was counted.
    pub truncated: bool,
    /// Where counting is dear, its result is kept for a while.
    pub counted_at: Timestamp,
}

impl Engine {
    pub async fn stats(&self) -> Result<Stats, Error> {
        let engine = self.clone();
        let counts = self.parts.counts.or_ask(async move { engine.count().await }).await?;
        Ok(Stats {
            counts,
            queues: self.queues().await?,
        })
    }

    async fn count(&self) -> Result<Counts, Error> {
        let counted_at = self.parts.clock.now();
        let by_status = self.parts.store.counts(COUNTED_TASKS).await?;
        Ok(Counts {
            truncated: by_status.values().sum::<u64>() >= COUNTED_TASKS as u64,
            by_status,
            counted_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Settings;

    #[tokio::test]
    async fn queues_that_were_dear_to_count_are_not_counted_again_for_the_stats() {
        let settings = [("database.url", "sqlite::memory:"), ("broker.url", "database")];
        let settings = Settings::load_with(&settings).expect("the settings are valid");
        let engine = Engine::connect(settings).await.expect("a database in memory");
        engine.migrate().await.expect("a fresh schema");
        let kept = Queues {
            queues: Vec::new(),
            counted_at: Timestamp::from_micros(1),
        };
        let answer = kept.clone();
        let dear = async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(answer)
        };
        engine.parts.queues.or_ask(dear).await.expect("counted");
        let stats = engine.stats().await.expect("counted");
        assert_eq!(stats.queues, kept);
        assert!(stats.counts.counted_at > kept.counted_at);
    }
}
