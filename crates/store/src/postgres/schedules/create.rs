//! Storing a schedule.

use orchestratum_core::Timestamp;
use sqlx::PgConnection;

use super::super::database::Database;
use super::super::transaction::{Abort, Transaction};
use super::super::{audit, idempotency};
use super::row::written;
use crate::decide;
use crate::{Audit, CreateScheduleOutcome, Error, IdempotencyKey, NewSchedule};

pub(super) async fn create(
    database: &Database,
    schedule: &NewSchedule,
    audit: &Audit,
    now: Timestamp,
) -> Result<CreateScheduleOutcome, Error> {
    let (schedule, audit) = (schedule.clone(), audit.clone());
    database.transact(Create { schedule, audit, now }).await
}

struct Create {
    schedule: NewSchedule,
    audit: Audit,
    now: Timestamp,
}

impl Transaction for Create {
    type Output = CreateScheduleOutcome;

    async fn perform(&self, connection: &mut PgConnection) -> Result<CreateScheduleOutcome, Abort> {
        let NewSchedule {
            id,
            spec,
            idempotency: key,
        } = &self.schedule;
        let key: Vec<&IdempotencyKey> = key.iter().collect();
        let kept = idempotency::kept(connection, &key).await?.into_values().next();
        if let Some(outcome) = decide::create_schedule(&self.schedule, kept.as_ref()) {
            return Ok(outcome);
        }
        let key = key.into_iter().map(|key| (key, vec![id.0]));
        idempotency::keep(connection, key.collect(), self.now).await?;
        written(INSERT, *id, spec, &spec.standing(self.now), self.now)
            .execute(&mut *connection)
            .await?;
        audit::record(connection, &self.audit, self.now).await?;
        Ok(CreateScheduleOutcome::Created)
    }
}

const INSERT: &str = "
    INSERT INTO schedules (
        id, name, cron, time_zone, task, overlap, misfire, start_at, end_at, jitter_ms, paused, created_at, updated_at,
        next_slot, waiting, wake_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $15)";
