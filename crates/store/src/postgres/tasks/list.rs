//! Lists, newest first. Each kind of filter has a statement of its own, so that its index is used whatever else the
//! filter says; what has no index is looked for among the newest rows only.

use std::time::Duration;

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{Target, TaskId, TaskName, Timestamp};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{int8, time};
use super::row::{TaskRow, task_columns};
use crate::{Error, TaskFilter, TaskPage, UNINDEXED_SCAN};

/// How far the time in an id may be from `created_at`: another host's clock made it, or the caller did.
const ID_TIME_SLACK: Duration = Duration::from_secs(86_400);

/// The statements of one way through the tasks: the page, and how many rows the window has.
struct Way {
    page: &'static str,
    window: &'static str,
}

/// `$window` selects the tasks with ids below `$1` and from `$2` on, newest first, at most `$3`. All statements have the same
/// parameters, so that one function binds them.
macro_rules! way {
    ($window:expr) => {
        Way {
            page: concat!(
                "SELECT ",
                task_columns!(),
                " FROM (",
                $window,
                ") AS tasks
                WHERE ($4::smallint IS NULL OR tasks.status = $4)
                  AND ($5::text IS NULL OR tasks.name = $5)
                  AND ($6::text IS NULL OR tasks.target = $6)
                  AND ($7::uuid IS NULL OR tasks.parent_id = $7)
                  AND ($8::jsonb IS NULL OR tasks.labels @> $8)
                  AND ($9::timestamptz IS NULL OR tasks.created_at >= $9)
                  AND ($10::timestamptz IS NULL OR tasks.created_at < $10)
                ORDER BY tasks.id DESC
                LIMIT $11"
            ),
            window: concat!(
                "SELECT count(*) FROM (",
                $window,
                ") AS newest
                -- The parameters of the page, for their types.
                WHERE num_nulls($4::smallint, $5::text, $6::text, $9::timestamptz, $10::timestamptz, $11::bigint) >= 0
                  AND num_nulls($7::uuid, $8::jsonb) >= 0"
            ),
        }
    };
}

const BY_ID: Way = way!("SELECT * FROM tasks WHERE id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3");
const BY_PARENT: Way =
    way!("SELECT * FROM tasks WHERE parent_id = $7::uuid AND id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3");
const BY_LABELS: Way = way!(
    "SELECT * FROM tasks
    WHERE labels IS NOT NULL AND labels @> $8::jsonb AND id < $1 AND id >= $2
    ORDER BY id DESC LIMIT $3"
);
const PENDING: Way = way!(
    "SELECT tasks.*
    FROM (SELECT task_id FROM dispatches WHERE task_id < $1 AND task_id >= $2 ORDER BY task_id DESC LIMIT $3) AS newest
    JOIN tasks ON tasks.id = newest.task_id
    ORDER BY tasks.id DESC"
);
const RUNNING: Way = way!("SELECT * FROM tasks WHERE status = 1 AND id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3");
const PROBLEM: Way = way!(
    "SELECT * FROM tasks
    WHERE status IN (3, 4, 5) AND status = $4::smallint AND id < $1 AND id >= $2
    ORDER BY id DESC LIMIT $3"
);

fn way(filter: &TaskFilter) -> &'static Way {
    if filter.parent_id.is_some() {
        return &BY_PARENT;
    }
    match filter.status {
        Some(TaskStatus::InProgress) => &RUNNING,
        Some(TaskStatus::Failed | TaskStatus::Expired | TaskStatus::Cancelled) => &PROBLEM,
        _ if !filter.labels.is_empty() => &BY_LABELS,
        Some(TaskStatus::Pending) => &PENDING,
        Some(TaskStatus::Completed) | None => &BY_ID,
    }
}

pub(super) async fn list(
    database: &Database,
    filter: &TaskFilter,
    before: Option<TaskId>,
    limit: usize,
) -> Result<TaskPage, Error> {
    let way = way(filter);
    let bounds = Bounds::of(filter, before);
    let rows: Vec<TaskRow> = database
        // One more than asked for tells whether there is another page.
        .all(AfterUnknown::Repeat, || {
            bind(way.page, filter, &bounds, UNINDEXED_SCAN, limit + 1)
        })
        .await?;
    let mut items = rows
        .into_iter()
        .map(TaskRow::into_task)
        .collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let truncated = !more && narrows(filter) && {
        let (scanned,): (i64,) = database
            .one(|| bind(way.window, filter, &bounds, UNINDEXED_SCAN + 1, limit + 1))
            .await?;
        scanned > int8(UNINDEXED_SCAN)
    };
    Ok(TaskPage {
        next: if more {
            items.last().map(|task| task.spec.id)
        } else {
            None
        },
        items,
        truncated,
    })
}

/// Whether rows of the window may fall out of the page.
fn narrows(filter: &TaskFilter) -> bool {
    let TaskFilter {
        status,
        name,
        target,
        parent_id,
        labels,
        created_after,
        created_before,
    } = filter;
    status.is_some()
        || name.is_some()
        || target.is_some()
        || parent_id.is_some()
        || !labels.is_empty()
        || created_after.is_some()
        || created_before.is_some()
}

/// The range of ids: below `upper`, from `lower` on.
struct Bounds {
    upper: Uuid,
    lower: Uuid,
}

impl Bounds {
    fn of(filter: &TaskFilter, before: Option<TaskId>) -> Self {
        let newest = filter
            .created_before
            .map_or(Uuid::max(), |before| first_id_at(before + ID_TIME_SLACK));
        Self {
            upper: before.map_or(newest, |before| before.0.min(newest)),
            lower: filter
                .created_after
                .map_or(Uuid::nil(), |after| first_id_at(after - ID_TIME_SLACK)),
        }
    }
}

/// The smallest id whose UUIDv7 time is `at`.
fn first_id_at(at: Timestamp) -> Uuid {
    let milliseconds = u64::try_from(at.as_micros() / 1_000).unwrap_or(0);
    Uuid::from_u64_pair(milliseconds << 16, 0)
}

fn bind<'q, T>(
    statement: &'static str,
    filter: &'q TaskFilter,
    bounds: &Bounds,
    window: usize,
    limit: usize,
) -> QueryAs<'q, Postgres, T, PgArguments>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    let status = match filter.status {
        // What has a dispatch row is pending. Saying so again would make the planner expect fewer rows than there are,
        // and read the whole table for one page.
        Some(TaskStatus::Pending) if statement == PENDING.page => None,
        status => status,
    };
    sqlx::query_as(statement)
        .bind(bounds.upper)
        .bind(bounds.lower)
        .bind(int8(window))
        .bind(status.map(TaskStatus::code))
        .bind(filter.name.as_ref().map(TaskName::as_str))
        .bind(filter.target.as_ref().map(Target::as_str))
        .bind(filter.parent_id.map(|id| id.0))
        .bind((!filter.labels.is_empty()).then_some(sqlx::types::Json(&filter.labels)))
        .bind(filter.created_after.map(time))
        .bind(filter.created_before.map(time))
        .bind(int8(limit))
}
