//! Storing a schedule.

use orchestratum_core::schedule::{ScheduleSpec, Standing};
use orchestratum_core::{ScheduleId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::database::Database;
use super::super::rows::{Place, milliseconds, time};
use super::super::transaction::{Abort, Transaction};
use crate::decide::waiting_text;
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
        let NewSchedule { id, spec, idempotency } = &self.schedule;
        if let Some(key) = idempotency
            && let Some(outcome) = claim_key(connection, key, *id, self.now).await?
        {
            return Ok(outcome);
        }
        insert(connection, *id, spec, &spec.standing(self.now), self.now).await?;
        insert_audit(connection, &self.audit, self.now).await?;
        Ok(CreateScheduleOutcome::Created)
    }
}

/// `None` if the key is new: it stands for this schedule from now on.
async fn claim_key(
    connection: &mut PgConnection,
    key: &IdempotencyKey,
    id: ScheduleId,
    now: Timestamp,
) -> Result<Option<CreateScheduleOutcome>, Abort> {
    // Whoever inserts the same key at the same time is waited for.
    let inserted = sqlx::query(
        "INSERT INTO idempotency_keys (scope, key, body_hash, resource_ids, created_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (scope, key) DO NOTHING",
    )
    .bind(&key.scope)
    .bind(&key.key)
    .bind(key.body_hash)
    .bind(vec![id.0])
    .bind(time(now))
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(None);
    }
    let kept: Option<(Vec<u8>, Vec<Uuid>)> =
        sqlx::query_as("SELECT body_hash, resource_ids FROM idempotency_keys WHERE scope = $1 AND key = $2")
            .bind(&key.scope)
            .bind(&key.key)
            .fetch_optional(connection)
            .await?;
    // Retention took it just now: begin again.
    let (body_hash, ids) = kept.ok_or(Abort::Overtaken)?;
    if body_hash != key.body_hash {
        return Ok(Some(CreateScheduleOutcome::KeyReused));
    }
    let row = format!("{}/{}", key.scope, key.key);
    let place = Place {
        table: "idempotency_keys",
        row: &row,
    };
    let id = place.present("resource_ids", ids.first().copied())?;
    Ok(Some(CreateScheduleOutcome::Replayed { id: ScheduleId(id) }))
}

async fn insert(
    connection: &mut PgConnection,
    id: ScheduleId,
    spec: &ScheduleSpec,
    standing: &Standing,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let ScheduleSpec {
        name,
        cron,
        task,
        overlap,
        misfire,
        start_at,
        end_at,
        jitter,
        paused,
    } = spec;
    sqlx::query(
        "INSERT INTO schedules (
            id, name, cron, time_zone, task, overlap, misfire, start_at, end_at, jitter_ms, paused, created_at, updated_at,
            next_slot, waiting, wake_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $15)",
    )
    .bind(id.0)
    .bind(name)
    .bind(cron.text())
    .bind(cron.zone())
    .bind(task.as_str())
    .bind(overlap.code())
    .bind(misfire.code())
    .bind(start_at.map(time))
    .bind(end_at.map(time))
    .bind(milliseconds(*jitter))
    .bind(paused)
    .bind(time(now))
    .bind(standing.next_slot.map(time))
    .bind(waiting_text(standing))
    .bind(standing.wake_at.map(time))
    .execute(connection)
    .await?;
    Ok(())
}

/// One row of the audit, which says in words what it is about: it is of no task.
pub(super) async fn insert_audit(
    connection: &mut PgConnection,
    audit: &Audit,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO task_changes (action, actor, detail, changed_at) VALUES ($1, $2, $3, $4)")
        .bind(audit.action)
        .bind(&audit.actor)
        .bind(&audit.detail)
        .bind(time(now))
        .execute(connection)
        .await?;
    Ok(())
}
