//! Creating a group: all of its members or nothing.

use orchestratum_core::task::{GroupDraft, GroupLife};
use orchestratum_core::{GroupId, Origin};
use orchestratum_store::{Announce, CreateGroupOutcome, Group, IdempotencyKey, NewGroup, NewTask};

use super::GroupState;
use crate::announce::hint;
use crate::tasks::hints;
use crate::{Engine, Error};

/// A request to create a group.
#[derive(Debug, Clone)]
pub struct CreateGroup {
    pub draft: GroupDraft,
    /// An id the caller chose, with the SHA-256 of its request.
    pub chosen_id: Option<(GroupId, [u8; 32])>,
    pub idempotency: Option<IdempotencyKey>,
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CreatedGroup {
    Created(GroupState),
    /// The idempotency key was used before, with the same body: the group of that request, as it is now.
    Replayed(GroupState),
    /// The group with the chosen id was created before, from the same body.
    Existing(GroupState),
}

impl Engine {
    /// Stores a group with its members durably, and announces those that are due.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every broken rule, [`Error::IdempotencyKeyReused`], [`Error::GroupGone`],
    /// [`Error::GroupIdTaken`], or a failure of the database. Nothing is stored then.
    pub async fn create_group(&self, request: CreateGroup) -> Result<CreatedGroup, Error> {
        let now = self.parts.clock.now();
        let limits = self.parts.settings.tasks.limits();
        let (chosen_id, request_hash) = request.chosen_id.unzip();
        let id = chosen_id.unwrap_or_else(|| self.parts.clock.new_group_id());
        let checked = request.draft.check(id, || self.parts.clock.new_task_id(), &limits, now);
        let (spec, members) = checked.map_err(Error::Invalid)?;
        let tasks = members.into_iter().map(|(spec, life)| NewTask {
            spec,
            life,
            announce: Announce::ByFeeder,
            request_hash: None,
            origin: request.origin.clone(),
        });
        let mut tasks: Vec<NewTask> = tasks.collect();
        self.take_places(&mut tasks, now);
        let group = NewGroup {
            tasks,
            spec,
            request_hash,
            idempotency: request.idempotency,
            origin: request.origin,
        };
        match self.parts.store.create_group(&group, now).await? {
            CreateGroupOutcome::Created { ready } => {
                let created = group.tasks.iter().map(|task| (&task.spec, &task.life));
                self.announce_created(hints(&group.tasks), created, now);
                self.became_ready(ready.into_iter().map(hint).collect());
                tracing::info!(group.id = %id, group.size = group.spec.size, "group created");
                metrics::counter!("orchestratum_groups_created_total").increment(1);
                metrics::counter!("orchestratum_tasks_created_total").increment(group.tasks.len() as u64);
                Ok(CreatedGroup::Created(GroupState::new(as_created(group))))
            }
            CreateGroupOutcome::Replayed { id } => match self.group(id).await {
                Err(Error::GroupNotFound(_)) => Err(Error::GroupGone { group: id }),
                found => Ok(CreatedGroup::Replayed(found?)),
            },
            CreateGroupOutcome::Exists => Ok(CreatedGroup::Existing(self.group(id).await?)),
            CreateGroupOutcome::KeyReused => Err(Error::IdempotencyKeyReused),
            CreateGroupOutcome::IdTaken => Err(Error::GroupIdTaken { group: id }),
        }
    }
}

/// The group as it was stored, without reading it back.
fn as_created(group: NewGroup) -> Group {
    Group {
        life: GroupLife::new(&group.spec),
        spec: group.spec,
        reason: None,
        finished_at: None,
        after: None,
    }
}
