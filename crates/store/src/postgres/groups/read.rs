//! Groups and how their members stand.

use std::collections::BTreeMap;

use orchestratum_core::GroupId;
use orchestratum_core::task::{GroupStatus, TaskStatus};
use sqlx::FromRow;
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, int8};
use super::row::{self, GroupRow, group_columns};
use crate::{Error, Group, GroupPage, PAGE_BYTES};

pub(super) async fn group(database: &Database, group: GroupId) -> Result<Option<Group>, Error> {
    let row: Option<GroupRow> = database
        .optional(|| {
            sqlx::query_as(concat!("SELECT ", group_columns!(), " FROM task_groups WHERE id = $1")).bind(group.0)
        })
        .await?;
    row.map(GroupRow::into_group).transpose()
}

pub(super) async fn status(database: &Database, group: GroupId) -> Result<Option<GroupStatus>, Error> {
    let row: Option<(i16,)> = database
        .optional(|| sqlx::query_as("SELECT status FROM task_groups WHERE id = $1").bind(group.0))
        .await?;
    let place = Place {
        table: "task_groups",
        row: &group,
    };
    row.map(|(code,)| row::status(&place, code)).transpose()
}

pub(super) async fn member_counts(database: &Database, group: GroupId) -> Result<BTreeMap<TaskStatus, u64>, Error> {
    let rows: Vec<(i16, i64)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as("SELECT status, count(*) FROM tasks WHERE group_id = $1 GROUP BY status").bind(group.0)
        })
        .await?;
    let place = Place {
        table: "tasks",
        row: &group,
    };
    rows.into_iter()
        .map(|(status, count)| {
            let status = place.present("status", TaskStatus::from_code(status))?;
            Ok((status, place.number("count", count)?))
        })
        .collect()
}

#[derive(Debug, FromRow)]
struct PageRow {
    #[sqlx(flatten)]
    group: GroupRow,
    /// How many there are, up to one more than was asked for.
    found: i64,
}

pub(super) async fn groups(
    database: &Database,
    status: Option<GroupStatus>,
    before: Option<GroupId>,
    limit: usize,
) -> Result<GroupPage, Error> {
    let rows: Vec<PageRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(PAGE)
                .bind(before.map_or(Uuid::max(), |id| id.0))
                .bind(status.map(GroupStatus::code))
                .bind(int8(limit + 1))
                .bind(int8(PAGE_BYTES))
        })
        .await?;
    let found = rows.first().map_or(0, |row| row.found);
    let items: Vec<Group> = rows
        .into_iter()
        .take(limit)
        .map(|row| row.group.into_group())
        .collect::<Result<_, _>>()?;
    let next = items
        .last()
        .map(|group| group.spec.id)
        .filter(|_| found > int8(items.len()));
    Ok(GroupPage { items, next })
}

const PAGE: &str = concat!(
    "SELECT ",
    group_columns!(),
    ", found
    FROM (
        SELECT page.*,
            count(*) OVER () AS found,
            sum(COALESCE(octet_length(on_complete), 0) + COALESCE(octet_length(on_failure), 0))
                OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
            row_number() OVER (ORDER BY id DESC) AS place
        FROM (
            SELECT * FROM task_groups
            WHERE id < $1 AND ($2::smallint IS NULL OR status = $2)
            ORDER BY id DESC
            LIMIT $3
        ) AS page
    ) AS task_groups
    WHERE bytes <= $4 OR place = 1
    ORDER BY id DESC"
);
