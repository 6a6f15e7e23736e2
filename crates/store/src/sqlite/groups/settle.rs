//! Counting the ends of members, and what comes after the last one.

use orchestratum_core::task::{GroupEnd, GroupEnds, MemberEnd, SpecLimits, TaskStatus};
use orchestratum_core::{GroupId, JsonText, Origin, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, get, maybe_word, number, signed, task_id};
use super::super::tasks::{insert_asking, met_by};
use super::row::{self, counted_columns};
use crate::decide::{self, JoinedMembers, LockedGroup, Settling};
use crate::{AfterGroup, Error, Settled};

pub(super) async fn unsettled(store: &SqliteStore, limit: usize) -> Result<Vec<GroupId>, Error> {
    let ids: Vec<Uuid> =
        sqlx::query_scalar("SELECT group_id FROM group_ends GROUP BY group_id ORDER BY min(id) LIMIT ?1")
            .bind(signed(limit))
            .fetch_all(&store.read)
            .await
            .map_err(sql)?;
    Ok(ids.into_iter().map(GroupId).collect())
}

pub(super) async fn settle(
    store: &SqliteStore,
    group: GroupId,
    seed: u128,
    now: Timestamp,
) -> Result<Option<Settled>, Error> {
    let mut transaction = store.begin().await?;
    let ends = take_ends(&mut transaction, group).await?;
    let settled = match read(&mut transaction, group).await? {
        None => None,
        Some(locked) => {
            let settling = match decide::counted(&locked, ends) {
                Ok(settling) => settling,
                Err(life) => {
                    let members = members(&mut transaction, group, &store.limits).await?;
                    let mut settling = decide::joined(&locked, life, &members, &store.limits, seed, now);
                    if let Some(task) = &settling.task
                        && let Some(other) = met_by(&mut transaction, task, now).await?
                    {
                        settling.meets(other);
                    }
                    settling
                }
            };
            Some(write(&mut transaction, group, settling, now).await?)
        }
    };
    transaction.commit().await.map_err(sql)?;
    Ok(settled)
}

async fn take_ends(connection: &mut SqliteConnection, group: GroupId) -> Result<GroupEnds, Error> {
    let rows = sqlx::query("DELETE FROM group_ends WHERE group_id = ?1 RETURNING ended, failed")
        .bind(group.0)
        .fetch_all(connection)
        .await
        .map_err(sql)?;
    let mut ends = GroupEnds::default();
    for row in &rows {
        ends.add(GroupEnds {
            ended: get(row, "ended")?,
            failed: get(row, "failed")?,
        });
    }
    Ok(ends)
}

async fn read(connection: &mut SqliteConnection, group: GroupId) -> Result<Option<LockedGroup>, Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        counted_columns!(),
        ", g.trace_parent, g.request_id FROM task_groups g WHERE g.id = ?1"
    ))
    .bind(group.0)
    .fetch_optional(connection)
    .await
    .map_err(sql)?;
    let Some(row) = row else { return Ok(None) };
    let found = row::group(&row)?;
    Ok(Some(LockedGroup {
        spec: found.spec,
        life: found.life,
        origin: Origin {
            trace_parent: maybe_word(&row, "task_groups", "trace_parent", group)?,
            request_id: maybe_word(&row, "task_groups", "request_id", group)?,
        },
    }))
}

/// Sizes are told without reading the texts; the texts are read only where they are handed on.
async fn members(
    connection: &mut SqliteConnection,
    group: GroupId,
    limits: &SpecLimits,
) -> Result<JoinedMembers, Error> {
    let bytes: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(coalesce(octet_length(output), 0) + coalesce(octet_length(error), 0)), 0)
         FROM tasks INDEXED BY tasks_group
         WHERE group_id IS NOT NULL AND group_id = ?1",
    )
    .bind(group.0)
    .fetch_one(&mut *connection)
    .await
    .map_err(sql)?;
    let outputs_bytes = u64::try_from(bytes).unwrap_or(0);
    let rows = sqlx::query(
        "SELECT id, group_index, status, iif(?2, output, NULL) AS output, iif(?2, error, NULL) AS error
         FROM tasks INDEXED BY tasks_group
         WHERE group_id IS NOT NULL AND group_id = ?1
         ORDER BY group_index",
    )
    .bind(group.0)
    .bind(GroupEnd::outputs_fit(outputs_bytes, limits))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    Ok(JoinedMembers {
        ends: rows.iter().map(member).collect::<Result<_, _>>()?,
        outputs_bytes,
    })
}

fn member(row: &SqliteRow) -> Result<MemberEnd, Error> {
    let id = task_id(row, "id")?;
    let code: i64 = get(row, "status")?;
    let status = i16::try_from(code).ok().and_then(TaskStatus::from_code);
    Ok(MemberEnd {
        task: id,
        index: number(row, "tasks", "group_index", id)?,
        status: status.ok_or_else(|| damaged("tasks", "status", id, format!("{code} is no status")))?,
        output: get::<Option<String>>(row, "output")?.map(JsonText::trusted),
        error: get::<Option<String>>(row, "error")?.map(JsonText::trusted),
    })
}

async fn write(
    connection: &mut SqliteConnection,
    group: GroupId,
    settling: Settling,
    now: Timestamp,
) -> Result<Settled, Error> {
    let (task, missing) = match &settling.after {
        Some(AfterGroup::Task(task)) => (Some(task.0), None),
        Some(AfterGroup::Missing { name, reason }) => (None, Some((name, reason))),
        None => (None, None),
    };
    sqlx::query(
        "UPDATE task_groups
         SET status = ?2,
             remaining = ?3,
             failed = ?4,
             finished_at = coalesce(?5, finished_at),
             follow_up_id = coalesce(?6, follow_up_id),
             missing_name = coalesce(?7, missing_name),
             missing_reason = coalesce(?8, missing_reason)
         WHERE id = ?1",
    )
    .bind(group.0)
    .bind(settling.life.status.code())
    .bind(settling.life.remaining)
    .bind(settling.life.failed)
    .bind(settling.finished_at.map(Timestamp::as_micros))
    .bind(task)
    .bind(missing.map(|(name, _)| name))
    .bind(missing.map(|(_, reason)| reason))
    .execute(&mut *connection)
    .await
    .map_err(sql)?;
    let mut settled = settling.settled;
    if let Some(task) = &settling.task {
        settled.ready = insert_asking(connection, &[task], now).await?;
    }
    Ok(settled)
}
