//! Cancelling a group, and forgetting one that is over.

use orchestratum_core::GroupId;
use orchestratum_store::{Audit, CancelGroupOutcome, DeleteGroupOutcome};

use super::GroupState;
use crate::{Engine, Error};

/// What a cancel found. The group is as it stands afterwards.
#[derive(Debug, Clone, PartialEq)]
pub enum CancelledGroup {
    /// Its members are being cancelled.
    Now(GroupState),
    /// The same was asked for before: nothing was done, and the first reason stays.
    Before(GroupState),
}

impl Engine {
    /// Cancels the members that are left. Nothing comes after a group that is cancelled.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::GroupRefused`] where it ended in another way.
    pub async fn cancel_group(
        &self,
        group: GroupId,
        reason: Option<String>,
        actor: Option<String>,
    ) -> Result<CancelledGroup, Error> {
        let audit = Audit {
            actor,
            action: "cancel_group",
            detail: Some(in_words(group, reason.as_deref())),
        };
        let now = self.parts.clock.now();
        let outcome = self
            .parts
            .store
            .cancel_group(group, reason.as_deref(), &audit, now)
            .await?;
        match outcome {
            CancelGroupOutcome::Cancelling => {
                tracing::info!(group.id = %group, "group cancelled");
                self.settle_groups_soon();
                Ok(CancelledGroup::Now(self.group(group).await?))
            }
            CancelGroupOutcome::Before => Ok(CancelledGroup::Before(self.group(group).await?)),
            CancelGroupOutcome::Over { status } => Err(Error::GroupRefused {
                group,
                status,
                wanted: "cancelled: only a Running group can",
            }),
            CancelGroupOutcome::NotFound => Err(Error::GroupNotFound(group)),
        }
    }

    /// Forgets a group that is over. Its members stay.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::GroupRefused`] while it is not over.
    pub async fn delete_group(&self, group: GroupId, actor: Option<String>) -> Result<(), Error> {
        let audit = Audit {
            actor,
            action: "delete_group",
            detail: Some(in_words(group, None)),
        };
        match self
            .parts
            .store
            .delete_group(group, &audit, self.parts.clock.now())
            .await?
        {
            DeleteGroupOutcome::Deleted => Ok(()),
            DeleteGroupOutcome::NotOver { status } => Err(Error::GroupRefused {
                group,
                status,
                wanted: "deleted: only one that is Completed, Failed or Cancelled can",
            }),
            DeleteGroupOutcome::NotFound => Err(Error::GroupNotFound(group)),
        }
    }
}

fn in_words(group: GroupId, reason: Option<&str>) -> String {
    reason.map_or_else(|| group.to_string(), |reason| format!("{group}: {reason}"))
}
