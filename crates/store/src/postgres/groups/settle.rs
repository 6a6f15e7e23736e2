//! Counting the ends of members, and what comes after the last one.

use orchestratum_core::task::{GroupEnd, GroupEnds, MemberEnd, SpecLimits, TaskStatus};
use orchestratum_core::{GroupId, JsonText, Origin, TaskId, Timestamp};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, int8, time};
use super::super::tasks::{insert_asking, met_by};
use super::super::transaction::{Abort, Transaction};
use super::row::{GroupRow, counted_columns};
use crate::decide::{self, JoinedMembers, LockedGroup, Settling};
use crate::{AfterGroup, Error, Settled};

pub(super) async fn unsettled(database: &Database, limit: usize) -> Result<Vec<GroupId>, Error> {
    let rows: Vec<(Uuid,)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as("SELECT group_id FROM group_ends GROUP BY group_id ORDER BY min(id) LIMIT $1")
                .bind(int8(limit))
        })
        .await?;
    Ok(rows.into_iter().map(|(id,)| GroupId(id)).collect())
}

pub(super) async fn settle(
    database: &Database,
    group: GroupId,
    seed: u128,
    now: Timestamp,
) -> Result<Option<Settled>, Error> {
    let limits = database.limits;
    database
        .transact(Settle {
            group,
            seed,
            limits,
            now,
        })
        .await
}

struct Settle {
    group: GroupId,
    seed: u128,
    limits: SpecLimits,
    now: Timestamp,
}

#[derive(Debug, FromRow)]
struct OriginRow {
    #[sqlx(flatten)]
    group: GroupRow,
    trace_parent: Option<String>,
    request_id: Option<String>,
}

impl Transaction for Settle {
    type Output = Option<Settled>;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Option<Settled>, Abort> {
        let Some(group) = lock(connection, self.group).await? else {
            // Not where somebody else counts them at the moment.
            sqlx::query(
                "DELETE FROM group_ends
                WHERE group_id = $1 AND NOT EXISTS (SELECT FROM task_groups WHERE id = $1)",
            )
            .bind(self.group.0)
            .execute(connection)
            .await?;
            return Ok(None);
        };
        let ends = take_ends(connection, self.group).await?;
        let settling = match decide::counted(&group, ends) {
            Ok(settling) => settling,
            Err(life) => {
                let members = members(connection, self.group, &self.limits).await?;
                let mut settling = decide::joined(&group, life, &members, &self.limits, self.seed, self.now);
                if let Some(task) = &settling.task
                    && let Some(other) = met_by(connection, task, self.now).await?
                {
                    settling.meets(other);
                }
                settling
            }
        };
        Ok(Some(write(connection, self.group, settling, self.now).await?))
    }
}

async fn lock(connection: &mut PgConnection, group: GroupId) -> Result<Option<LockedGroup>, Abort> {
    let row: Option<OriginRow> = sqlx::query_as(concat!(
        "SELECT ",
        counted_columns!(),
        ", trace_parent, request_id FROM task_groups WHERE id = $1 FOR UPDATE SKIP LOCKED"
    ))
    .bind(group.0)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let place = Place {
        table: "task_groups",
        row: &group,
    };
    let trace_parent = row.trace_parent.map(|text| place.take("trace_parent", text.parse()));
    let request_id = row.request_id.map(|text| place.take("request_id", text.parse()));
    let group = row.group.into_group()?;
    Ok(Some(LockedGroup {
        spec: group.spec,
        life: group.life,
        origin: Origin {
            trace_parent: trace_parent.transpose()?,
            request_id: request_id.transpose()?,
        },
    }))
}

async fn take_ends(connection: &mut PgConnection, group: GroupId) -> Result<GroupEnds, Abort> {
    let (ended, failed): (i32, i32) = sqlx::query_as(
        "WITH taken AS (DELETE FROM group_ends WHERE group_id = $1 RETURNING ended, failed)
        SELECT COALESCE(sum(ended), 0)::integer, COALESCE(sum(failed), 0)::integer FROM taken",
    )
    .bind(group.0)
    .fetch_one(connection)
    .await?;
    Ok(GroupEnds { ended, failed })
}

type MemberRow = (Uuid, i32, i16, Option<String>, Option<String>);

/// Sizes are told without reading the texts; the texts are read only where they are handed on.
async fn members(connection: &mut PgConnection, group: GroupId, limits: &SpecLimits) -> Result<JoinedMembers, Abort> {
    let (bytes,): (i64,) = sqlx::query_as(
        "SELECT COALESCE(sum(COALESCE(octet_length(output), 0) + COALESCE(octet_length(error), 0)), 0)::bigint
        FROM tasks WHERE group_id = $1",
    )
    .bind(group.0)
    .fetch_one(&mut *connection)
    .await?;
    let outputs_bytes = u64::try_from(bytes).unwrap_or(0);
    let rows: Vec<MemberRow> = sqlx::query_as(
        "SELECT id, group_index, status, CASE WHEN $2 THEN output END, CASE WHEN $2 THEN error END
        FROM tasks
        WHERE group_id = $1
        ORDER BY group_index",
    )
    .bind(group.0)
    .bind(GroupEnd::outputs_fit(outputs_bytes, limits))
    .fetch_all(connection)
    .await?;
    let ends = rows.into_iter().map(|(id, index, status, output, error)| {
        let place = Place {
            table: "tasks",
            row: &id,
        };
        Ok(MemberEnd {
            task: TaskId(id),
            index: place.number("group_index", index)?,
            status: place.present("status", TaskStatus::from_code(status))?,
            output: output.map(JsonText::trusted),
            error: error.map(JsonText::trusted),
        })
    });
    Ok(JoinedMembers {
        ends: ends.collect::<Result<_, Error>>()?,
        outputs_bytes,
    })
}

async fn write(
    connection: &mut PgConnection,
    group: GroupId,
    settling: Settling,
    now: Timestamp,
) -> Result<Settled, Abort> {
    let (task, missing) = match &settling.after {
        Some(AfterGroup::Task(task)) => (Some(task.0), None),
        Some(AfterGroup::Missing { name, reason }) => (None, Some((name, reason))),
        None => (None, None),
    };
    sqlx::query(
        "UPDATE task_groups
        SET status = $2,
            remaining = $3,
            failed = $4,
            finished_at = COALESCE($5, finished_at),
            follow_up_id = COALESCE($6, follow_up_id),
            missing_name = COALESCE($7, missing_name),
            missing_reason = COALESCE($8, missing_reason)
        WHERE id = $1",
    )
    .bind(group.0)
    .bind(settling.life.status.code())
    .bind(settling.life.remaining)
    .bind(settling.life.failed)
    .bind(settling.finished_at.map(time))
    .bind(task)
    .bind(missing.map(|(name, _)| name))
    .bind(missing.map(|(_, reason)| reason))
    .execute(&mut *connection)
    .await?;
    let mut settled = settling.settled;
    if let Some(task) = &settling.task {
        settled.ready = insert_asking(connection, &[task], now).await?;
    }
    Ok(settled)
}
