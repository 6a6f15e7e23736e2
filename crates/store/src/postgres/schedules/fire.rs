//! Schedules whose time has come become tasks: decided under the locks of their rows, written in the same transaction.

use std::collections::HashMap;

use orchestratum_core::schedule::Overlap;
use orchestratum_core::task::SpecLimits;
use orchestratum_core::{ScheduleId, TaskId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::database::Database;
use super::super::rows::{Time, int8, time};
use super::super::tasks::{insert_tasks, meet, settle};
use super::super::transaction::{Abort, Transaction};
use super::row::DueRow;
use crate::decide::{self, DispatchRow, LIVE_MAX, Locked, ScheduleWrite, Which, waiting_text};
use crate::{Error, Fired, NewTask};

pub(super) async fn fire(database: &Database, which: Which, seed: u128, now: Timestamp) -> Result<Fired, Error> {
    let fire = Fire {
        which,
        seed,
        limits: database.limits,
        now,
    };
    database.transact(fire).await
}

struct Fire {
    which: Which,
    seed: u128,
    limits: SpecLimits,
    now: Timestamp,
}

impl Transaction for Fire {
    type Output = Fired;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Fired, Abort> {
        let Locked { read, more } = lock(connection, self.which, self.now).await?;
        let due: Vec<DueRow> =
            sqlx::query_as("SELECT * FROM schedules WHERE id = ANY($1::uuid[]) ORDER BY wake_at, id")
                .bind(read.iter().map(|id| id.0).collect::<Vec<_>>())
                .fetch_all(&mut *connection)
                .await?;
        let live = live(connection, &due).await?;
        let due = due.into_iter().map(DueRow::into_due).collect::<Result<Vec<_>, _>>()?;
        let mut decision = decide::fire(due, &live, &self.limits, more, self.seed, self.now);
        let tasks: Vec<&NewTask> = decision.tasks.iter().collect();
        let met = meet(connection, &tasks, self.now).await?;
        decision.meet(&met);
        if !decision.tasks.is_empty() {
            let tasks: Vec<&NewTask> = decision.tasks.iter().collect();
            insert_tasks(connection, &tasks, self.now).await?;
        }
        write(connection, &decision.schedules).await?;
        let publish_at = DispatchRow::publish_at(self.now, true, self.now);
        let admitted = settle(connection, &decision.gates(self.now), publish_at, self.now).await?;
        Ok(decision.into_fired(admitted, self.now))
    }
}

/// Texts that are stored apart tell their sizes without being read.
async fn lock(connection: &mut PgConnection, which: Which, now: Timestamp) -> Result<Locked, sqlx::Error> {
    let rows: Vec<(Uuid, i32)> =
        match which {
            Which::Due(limit) => {
                sqlx::query_as(
                    "SELECT id, octet_length(task)
                FROM schedules
                WHERE wake_at <= $1
                ORDER BY wake_at
                LIMIT $2
                -- Another process looks at those.
                FOR UPDATE SKIP LOCKED",
                )
                .bind(time(now))
                .bind(int8(limit))
                .fetch_all(connection)
                .await?
            }
            Which::One(schedule) => sqlx::query_as(
                "SELECT id, octet_length(task) FROM schedules WHERE wake_at <= $1 AND id = $2 FOR UPDATE SKIP LOCKED",
            )
            .bind(time(now))
            .bind(schedule.0)
            .fetch_all(connection)
            .await?,
        };
    let sized = rows
        .into_iter()
        .map(|(id, size)| (ScheduleId(id), usize::try_from(size).unwrap_or(0)));
    Ok(Locked::of(&sized.collect::<Vec<_>>(), which))
}

/// Tasks of these schedules that are not over, where that matters.
async fn live(connection: &mut PgConnection, due: &[DueRow]) -> Result<HashMap<ScheduleId, Vec<TaskId>>, sqlx::Error> {
    let asked: Vec<Uuid> = due
        .iter()
        .filter(|row| row.overlap != Overlap::Allow.code())
        .map(|row| row.id)
        .collect();
    let mut live: HashMap<ScheduleId, Vec<TaskId>> = HashMap::new();
    if asked.is_empty() {
        return Ok(live);
    }
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT due.id, live.id
        FROM UNNEST($1::uuid[]) AS due (id)
        CROSS JOIN LATERAL (
            SELECT id FROM tasks WHERE tasks.schedule_id = due.id AND status IN (0, 1) LIMIT $2
        ) AS live",
    )
    .bind(&asked)
    .bind(int8(LIVE_MAX))
    .fetch_all(connection)
    .await?;
    for (schedule, task) in rows {
        live.entry(ScheduleId(schedule)).or_default().push(TaskId(task));
    }
    Ok(live)
}

async fn write(connection: &mut PgConnection, schedules: &[ScheduleWrite]) -> Result<(), sqlx::Error> {
    if schedules.is_empty() {
        return Ok(());
    }
    let standings = || schedules.iter().map(|schedule| &schedule.standing);
    let skips = || standings().map(|standing| standing.last_skip.as_ref());
    let ids: Vec<Uuid> = schedules.iter().map(|schedule| schedule.id.0).collect();
    let next_slots: Vec<Option<Time>> = standings().map(|standing| standing.next_slot.map(time)).collect();
    let waiting: Vec<Option<String>> = standings().map(waiting_text).collect();
    let wake_ats: Vec<Option<Time>> = standings().map(|standing| standing.wake_at.map(time)).collect();
    let last_slots: Vec<Option<Time>> = standings().map(|standing| standing.last_slot.map(time)).collect();
    let skip_slots: Vec<Option<Time>> = skips().map(|skip| skip.map(|skip| time(skip.slot))).collect();
    let skip_reasons: Vec<Option<i16>> = skips().map(|skip| skip.map(|skip| skip.reason.code())).collect();
    let skip_details: Vec<Option<&str>> = skips()
        .map(|skip| skip.and_then(|skip| skip.detail.as_deref()))
        .collect();
    sqlx::query(
        "UPDATE schedules
        SET next_slot = new.next_slot,
            waiting = new.waiting,
            wake_at = new.wake_at,
            last_slot = new.last_slot,
            last_skip_slot = new.skip_slot,
            last_skip_reason = new.skip_reason,
            last_skip_detail = new.skip_detail
        FROM UNNEST(
            $1::uuid[], $2::timestamptz[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
            $7::smallint[], $8::text[]
        ) AS new (id, next_slot, waiting, wake_at, last_slot, skip_slot, skip_reason, skip_detail)
        WHERE schedules.id = new.id",
    )
    .bind(&ids)
    .bind(&next_slots)
    .bind(&waiting)
    .bind(&wake_ats)
    .bind(&last_slots)
    .bind(&skip_slots)
    .bind(&skip_reasons)
    .bind(&skip_details)
    .execute(connection)
    .await?;
    Ok(())
}
