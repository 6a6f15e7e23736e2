//! Finished tasks are kept for a while, then deleted in small batches.

use std::time::Duration;

use orchestratum_store::RecordsBefore;
use tokio_util::sync::CancellationToken;

use super::{PASS, sleep_unless_moved, sleep_unless_stopped};
use crate::{Engine, Error, error};

const INTERVAL: Duration = Duration::from_secs(60);

/// Between two batches, so that the rest of the work does not notice.
const BREATH: Duration = Duration::from_millis(50);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an idempotency key is remembered.
const KEYS_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long workers over HTTP that are gone are remembered: a new name with each claim makes a thousand a minute for each key.
/// Nobody needs one later: all it had is over.
const EXTERNAL_WORKERS_KEPT: Duration = Duration::from_secs(60 * 60);

/// How long the audit, and workers that are gone, are kept where tasks are kept for ever or for less.
const RECORDS_KEPT_DAYS: u32 = 90;

pub(super) async fn run(engine: Engine, stop: CancellationToken) {
    let mut moves = engine.parts.clock.moves();
    while sleep_unless_moved(INTERVAL, &mut moves, &stop).await {
        loop {
            match tick(&engine).await {
                Ok(0) => break,
                Ok(deleted) => tracing::debug!(deleted, "old rows deleted"),
                Err(error) => {
                    tracing::warn!(error = %error::chain(&error), "old rows could not be deleted");
                    break;
                }
            }
            if !sleep_unless_stopped(BREATH, &stop).await {
                return;
            }
        }
    }
}

/// One batch of everything that is old: how many rows went.
async fn tick(engine: &Engine) -> Result<u64, Error> {
    let parts = &engine.parts;
    let now = parts.clock.now();
    let days = parts.settings.tasks.retention_days;
    let mut deleted = 0;
    if days > 0 {
        deleted += parts.store.purge_finished(now - DAY * days, PASS).await?;
    }
    let before = RecordsBefore {
        idempotency_keys: now - KEYS_KEPT,
        external_workers: now - EXTERNAL_WORKERS_KEPT,
        others: now - DAY * days.max(RECORDS_KEPT_DAYS),
    };
    deleted += parts.store.purge_records(&before, PASS).await?;
    metrics::counter!("orchestratum_rows_purged_total").increment(deleted);
    Ok(deleted)
}
