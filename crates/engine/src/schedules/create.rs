//! Creating a schedule.

use orchestratum_core::schedule::ScheduleDraft;
use orchestratum_store::{Audit, CreateScheduleOutcome, IdempotencyKey, NewSchedule, Schedule};

use crate::{Engine, Error, journal};

/// A request to create a schedule.
#[derive(Debug, Clone)]
pub struct CreateSchedule {
    pub draft: ScheduleDraft,
    pub idempotency: Option<IdempotencyKey>,
    pub actor: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CreatedSchedule {
    Created(Schedule),
    /// The idempotency key was used before with the same body: the schedule as it is now.
    Replayed(Schedule),
}

impl Engine {
    /// # Errors
    /// [`Error::Invalid`] with every broken rule, [`Error::IdempotencyKeyReused`], [`Error::ScheduleGone`].
    pub async fn create_schedule(&self, request: CreateSchedule) -> Result<CreatedSchedule, Error> {
        let now = self.parts.clock.now();
        let limits = self.parts.settings.tasks.limits();
        let spec = request.draft.check(&limits, now).map_err(Error::Invalid)?;
        let id = self.parts.clock.new_schedule_id();
        let audit = Audit {
            actor: request.actor,
            action: "create_schedule",
            detail: Some(id.to_string()),
        };
        let schedule = NewSchedule {
            id,
            spec,
            idempotency: request.idempotency,
        };
        match self.parts.store.create_schedule(&schedule, &audit, now).await? {
            CreateScheduleOutcome::Created => {
                journal::schedule(id, "created");
                Ok(CreatedSchedule::Created(self.schedule(id).await?))
            }
            CreateScheduleOutcome::Replayed { id } => match self.schedule(id).await {
                Ok(schedule) => Ok(CreatedSchedule::Replayed(schedule)),
                Err(Error::ScheduleNotFound(schedule)) => Err(Error::ScheduleGone { schedule }),
                Err(error) => Err(error),
            },
            CreateScheduleOutcome::KeyReused => Err(Error::IdempotencyKeyReused),
        }
    }
}
