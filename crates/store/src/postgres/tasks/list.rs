//! Lists, newest first. What has no index is looked for among the newest rows only.

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{Target, TaskId, TaskName};
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{FromRow, Postgres};

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{int8, time};
use super::row::{TaskRow, task_columns};
use crate::decide::{self, IdRange, Way};
use crate::{Error, PAGE_BYTES, TaskFilter, TaskPage, UNINDEXED_SCAN};

/// A row of a page.
#[derive(Debug, FromRow)]
struct PageRow {
    #[sqlx(flatten)]
    task: TaskRow,
    /// How many rows there are, those included that were too much for the page.
    found: i64,
}

/// The statements of one way through the tasks: the page, and how many rows the window has.
struct Statements {
    page: &'static str,
    window: &'static str,
}

/// `$window` selects the tasks with ids below `$1` and from `$2` on, newest first, at most `$3`. All statements have the same
/// parameters, so that one function binds them.
macro_rules! way {
    ($window:expr) => {
        Statements {
            page: concat!(
                "SELECT ",
                task_columns!(),
                ", found
                FROM (
                    SELECT page.*,
                        count(*) OVER () AS found,
                        -- Texts that are stored apart tell their sizes without being read.
                        sum(
                            octet_length(input) + COALESCE(octet_length(output), 0) + COALESCE(octet_length(error), 0)
                            + COALESCE(octet_length(description), 0) + COALESCE(octet_length(follow_ups), 0)
                        ) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
                        row_number() OVER (ORDER BY id DESC) AS place
                    FROM (
                        SELECT tasks.* FROM (",
                $window,
                ") AS tasks
                WHERE ($4::smallint IS NULL OR tasks.status = $4)
                  AND ($5::text IS NULL OR tasks.name = $5)
                  AND ($6::text IS NULL OR tasks.target = $6)
                  AND ($7::uuid IS NULL OR tasks.parent_id = $7)
                  AND ($8::jsonb IS NULL OR tasks.labels @> $8)
                  AND ($9::timestamptz IS NULL OR tasks.created_at >= $9)
                  AND ($10::timestamptz IS NULL OR tasks.created_at < $10)
                  AND ($13::uuid IS NULL OR tasks.schedule_id = $13)
                  AND ($14::uuid IS NULL OR tasks.saga_id = $14)
                ORDER BY tasks.id DESC
                LIMIT $11
                    ) AS page
                ) AS tasks
                WHERE bytes <= $12 OR place = 1
                ORDER BY tasks.id DESC"
            ),
            window: concat!(
                "SELECT count(*) FROM (",
                $window,
                ") AS newest
                -- The parameters of the page, for their types.
                WHERE num_nulls($4::smallint, $5::text, $6::text, $9::timestamptz, $10::timestamptz, $11::bigint) >= 0
                  AND num_nulls($7::uuid, $8::jsonb, $12::bigint, $13::uuid, $14::uuid) >= 0"
            ),
        }
    };
}

const NEWEST: Statements = way!("SELECT * FROM tasks WHERE id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3");
const CHILDREN: Statements =
    way!("SELECT * FROM tasks WHERE parent_id = $7::uuid AND id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3");
const SCHEDULED: Statements =
    way!("SELECT * FROM tasks WHERE schedule_id = $13::uuid AND id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3");
const OF_SAGA: Statements =
    way!("SELECT * FROM tasks WHERE saga_id = $14::uuid AND id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3");
const LABELLED: Statements = way!(
    "SELECT * FROM tasks
    WHERE labels IS NOT NULL AND labels @> $8::jsonb AND id < $1 AND id >= $2
    ORDER BY id DESC LIMIT $3"
);
const PENDING: Statements = way!(
    "SELECT tasks.*
    FROM (SELECT task_id FROM dispatches WHERE task_id < $1 AND task_id >= $2 ORDER BY task_id DESC LIMIT $3) AS newest
    JOIN tasks ON tasks.id = newest.task_id
    ORDER BY tasks.id DESC"
);
const RUNNING: Statements =
    way!("SELECT * FROM tasks WHERE status = 1 AND id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3");
const PROBLEM: Statements = way!(
    "SELECT * FROM tasks
    WHERE status IN (3, 4, 5) AND status = $4::smallint AND id < $1 AND id >= $2
    ORDER BY id DESC LIMIT $3"
);

fn statements(way: Way) -> &'static Statements {
    match way {
        Way::Newest => &NEWEST,
        Way::Children => &CHILDREN,
        Way::Scheduled => &SCHEDULED,
        Way::OfSaga => &OF_SAGA,
        Way::Labelled => &LABELLED,
        Way::Pending => &PENDING,
        Way::Running => &RUNNING,
        Way::Problem => &PROBLEM,
    }
}

pub(super) async fn list(
    database: &Database,
    filter: &TaskFilter,
    before: Option<TaskId>,
    limit: usize,
) -> Result<TaskPage, Error> {
    let statements = statements(Way::of(filter));
    let range = IdRange::of(filter, before);
    let rows: Vec<PageRow> = database
        // One more than asked for tells whether there is another page.
        .all(AfterUnknown::Repeat, || {
            bind(statements.page, filter, range, UNINDEXED_SCAN, limit + 1)
        })
        .await?;
    let found = rows.first().map_or(0, |row| row.found);
    let items = rows.into_iter().take(limit).map(|row| row.task.into_task());
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    let mut page = decide::page(items.collect::<Result<_, _>>()?, found);
    if page.next.is_none() && decide::narrows(filter) {
        let (scanned,): (i64,) = database
            .one(|| bind(statements.window, filter, range, UNINDEXED_SCAN + 1, limit + 1))
            .await?;
        page.truncated = scanned > int8(UNINDEXED_SCAN);
    }
    Ok(page)
}

fn bind<'q, T>(
    statement: &'static str,
    filter: &'q TaskFilter,
    range: IdRange,
    window: usize,
    limit: usize,
) -> QueryAs<'q, Postgres, T, PgArguments>
where
    T: for<'r> FromRow<'r, sqlx::postgres::PgRow>,
{
    let status = match filter.status {
        // What has a dispatch row is pending. Saying so again would make the planner expect fewer rows than there are,
        // and read the whole table for one page.
        Some(TaskStatus::Pending) if statement == PENDING.page => None,
        status => status,
    };
    sqlx::query_as(statement)
        .bind(range.upper)
        .bind(range.lower)
        .bind(int8(window))
        .bind(status.map(TaskStatus::code))
        .bind(filter.name.as_ref().map(TaskName::as_str))
        .bind(filter.target.as_ref().map(Target::as_str))
        .bind(filter.parent_id.map(|id| id.0))
        .bind((!filter.labels.is_empty()).then_some(sqlx::types::Json(&filter.labels)))
        .bind(filter.created_after.map(time))
        .bind(filter.created_before.map(time))
        .bind(int8(limit))
        .bind(int8(PAGE_BYTES))
        .bind(filter.schedule_id.map(|id| id.0))
        .bind(filter.saga_id.map(|id| id.0))
}
