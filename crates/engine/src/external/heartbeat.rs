//! Heartbeats of external workers.

use orchestratum_core::task::{Progress, Violations};
use orchestratum_core::{JsonText, TaskId, Timestamp};
use orchestratum_store::Heartbeat;

use super::ClaimedExternally;
use crate::{Engine, Error};

pub const CHECKPOINT_MAX_BYTES: usize = 64 << 10;

/// The attempt goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Somebody wants the task stopped.
    pub cancel_requested: bool,
    pub deadline_at: Timestamp,
    pub lease_expires_at: Timestamp,
}

impl Engine {
    /// Extends the lease of an attempt, and keeps what it tells.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::AttemptOver`], and those of an attempt that this key did not claim.
    pub async fn heartbeat(
        &self,
        task: TaskId,
        attempt: u32,
        progress: Option<f64>,
        checkpoint: Option<JsonText>,
        key_id: &str,
    ) -> Result<Kept, Error> {
        let mut violations = Violations::default();
        let progress = progress.and_then(|share| violations.take("/progress", Progress::new(share)));
        if let Some(bytes) = checkpoint.as_ref().map(JsonText::len)
            && bytes > CHECKPOINT_MAX_BYTES
        {
            let rule = format!("must have at most {CHECKPOINT_MAX_BYTES} bytes, not {bytes}");
            violations.add("/checkpoint", rule);
        }
        violations.into_result().map_err(Error::Invalid)?;
        self.check_holder(task, attempt, key_id).await?;
        let heartbeat = Heartbeat {
            task,
            attempt,
            progress,
            checkpoint,
        };
        let beaten = self.parts.store.heartbeat(&heartbeat, self.parts.clock.now()).await?;
        let beaten = beaten.ok_or(Error::AttemptOver { task, attempt })?;
        Ok(Kept {
            cancel_requested: beaten.cancel_requested,
            deadline_at: ClaimedExternally::deadline(beaten.expires_at, beaten.started_at, beaten.timeout),
            lease_expires_at: beaten.lease_expires_at,
        })
    }
}
