//! The members of a group, in their order.

use orchestratum_core::task::TaskStatus;
use sqlx::FromRow;

use super::super::PostgresStore;
use super::super::database::AfterUnknown;
use super::super::rows::int8;
use super::row::{TaskRow, task_columns};
use crate::{Error, MemberPage, MemberSearch, PAGE_BYTES, decide};

#[derive(Debug, FromRow)]
struct MemberRow {
    #[sqlx(flatten)]
    task: TaskRow,
    /// How many there are, up to one more than was asked for.
    found: i64,
}

impl PostgresStore {
    pub(in super::super) async fn members_of_group(&self, search: &MemberSearch) -> Result<MemberPage, Error> {
        let rows: Vec<MemberRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(MEMBERS)
                    .bind(search.group.0)
                    .bind(search.after.map_or(-1, i32::from))
                    .bind(search.status.map(TaskStatus::code))
                    .bind(int8(search.limit + 1))
                    .bind(int8(PAGE_BYTES))
            })
            .await?;
        let found = rows.first().map_or(0, |row| row.found);
        let items = rows.into_iter().take(search.limit).map(|row| row.task.into_task());
        Ok(decide::member_page(
            items.collect::<Result<_, _>>()?,
            usize::try_from(found).unwrap_or(usize::MAX),
        ))
    }
}

const MEMBERS: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", found
    FROM (
        SELECT member.*,
            count(*) OVER () AS found,
            -- Texts that are stored apart tell their sizes without being read.
            sum(
                octet_length(input) + COALESCE(octet_length(output), 0) + COALESCE(octet_length(error), 0)
                + COALESCE(octet_length(description), 0) + COALESCE(octet_length(follow_ups), 0)
            ) OVER (ORDER BY group_index ROWS UNBOUNDED PRECEDING) AS bytes,
            row_number() OVER (ORDER BY group_index) AS turn
        FROM (
            SELECT * FROM tasks
            WHERE group_id = $1 AND group_index > $2 AND ($3::smallint IS NULL OR status = $3)
            ORDER BY group_index
            LIMIT $4
        ) AS member
    ) AS tasks
    WHERE bytes <= $5 OR turn = 1
    ORDER BY group_index",
);
