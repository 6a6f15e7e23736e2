//! What came after some tasks.

use orchestratum_core::TaskId;
use sqlx::FromRow;
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, Time, int8, timestamp};
use super::row::{TaskRow, place_of, task_columns};
use crate::{Children, Error, MissingCause, MissingFollowUp};

#[derive(Debug, FromRow)]
struct ChildRow {
    #[sqlx(flatten)]
    task: TaskRow,
    /// How many there are, up to one more than was asked for.
    found: i64,
}

type MissingRow = (Uuid, i32, i16, i32, String, i16, String, Time);

pub(super) async fn children(
    database: &Database,
    parents: &[TaskId],
    limit: usize,
    bytes: usize,
) -> Result<Children, Error> {
    let parents: Vec<Uuid> = parents.iter().map(|id| id.0).collect();
    let rows: Vec<ChildRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(CHILDREN)
                .bind(&parents)
                .bind(int8(limit + 1))
                .bind(int8(bytes))
        })
        .await?;
    let missing: Vec<MissingRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "SELECT parent_id, parent_run, edge, ordinal, name, cause, reason, missing_since
                FROM missing_follow_ups
                WHERE parent_id = ANY($1)
                ORDER BY parent_id, parent_run, edge, ordinal
                LIMIT $2",
            )
            .bind(&parents)
            .bind(int8(limit + 1))
        })
        .await?;
    let found = rows.first().map_or(0, |row| row.found);
    let shown = rows.len().min(limit);
    let truncated = found > int8(shown) || missing.len() > limit;
    let tasks = rows.into_iter().take(limit).map(|row| row.task.into_task());
    Ok(Children {
        tasks: tasks.collect::<Result<_, _>>()?,
        missing: missing
            .into_iter()
            .take(limit)
            .map(missing_follow_up)
            .collect::<Result<_, _>>()?,
        truncated,
    })
}

fn missing_follow_up(row: MissingRow) -> Result<MissingFollowUp, Error> {
    let (parent, parent_run, edge, ordinal, name, cause, reason, missing_since) = row;
    let row = format!("{parent}/{parent_run}/{edge}/{ordinal}");
    let place = Place {
        table: "missing_follow_ups",
        row: &row,
    };
    let at = place_of(&place, Some(parent_run), Some(edge), Some(ordinal))?;
    Ok(MissingFollowUp {
        parent: TaskId(parent),
        place: place.present("edge", at)?,
        name,
        cause: place.present("cause", MissingCause::from_code(cause))?,
        reason,
        since: timestamp(missing_since),
    })
}

const CHILDREN: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", found
    FROM (
        SELECT child.*,
            count(*) OVER () AS found,
            -- Texts that are stored apart tell their sizes without being read.
            sum(
                octet_length(input) + COALESCE(octet_length(output), 0) + COALESCE(octet_length(error), 0)
                + COALESCE(octet_length(description), 0) + COALESCE(octet_length(follow_ups), 0)
            ) OVER (ORDER BY parent_id, parent_run, edge, ordinal, id ROWS UNBOUNDED PRECEDING) AS bytes,
            row_number() OVER (ORDER BY parent_id, parent_run, edge, ordinal, id) AS turn
        FROM (
            SELECT * FROM tasks WHERE parent_id = ANY($1) ORDER BY parent_id, parent_run, edge, ordinal, id LIMIT $2
        ) AS child
    ) AS tasks
    WHERE bytes <= $3 OR turn = 1
    ORDER BY parent_id, parent_run, edge, ordinal, id",
);
