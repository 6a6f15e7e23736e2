//! Lists of tasks, newest first. Each kind of filter has a way of its own to its candidates, so that its index is used
//! whatever else the filter says; no more than a window of candidates is looked at.

use std::time::Duration;

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{Target, TaskId, TaskName, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, json, select_task, signed, task};
use crate::{Error, TaskFilter, TaskPage, UNINDEXED_SCAN};

/// How far the time in an id may be from `created_at`: another host's clock made it, or the caller did.
const ID_TIME_SLACK: Duration = Duration::from_secs(86_400);

/// The statements of one way through the tasks: the page, and how many candidates there are.
struct Way {
    page: &'static str,
    candidates: &'static str,
}

/// `$window` selects ids below `?1` and from `?2` on, newest first, at most `?3`. Both statements have the same
/// parameters, so that one function binds them.
macro_rules! way {
    ($window:literal) => {
        Way {
            page: select_task!(
                "FROM (",
                $window,
                ") c
                 CROSS JOIN tasks t ON t.id = c.id
                 LEFT JOIN dispatches d ON d.task_id = t.id
                 WHERE (?4 IS NULL OR t.status = ?4)
                   AND (?5 IS NULL OR t.name = ?5)
                   AND (?6 IS NULL OR t.target = ?6)
                   AND (?7 IS NULL OR t.parent_id = ?7)
                   AND (?8 IS NULL OR NOT EXISTS (
                           SELECT 1
                           FROM json_each(?8) l
                           WHERE NOT EXISTS (
                               SELECT 1 FROM json_each(t.labels) x WHERE x.key = l.key AND x.value = l.value
                           )
                       ))
                   AND (?9 IS NULL OR t.created_at >= ?9)
                   AND (?10 IS NULL OR t.created_at < ?10)
                 ORDER BY c.id DESC
                 LIMIT ?11"
            ),
            candidates: concat!(
                "SELECT count(*) AS candidates FROM (",
                $window,
                ") WHERE ?11 IS NOT NULL"
            ),
        }
    };
}

const BY_AGE: Way = way!("SELECT id FROM tasks WHERE id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3");
const CHILDREN: Way = way!(
    "SELECT id FROM tasks INDEXED BY tasks_parent
     WHERE parent_id IS NOT NULL AND parent_id = ?7 AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
);
const LABELLED: Way = way!(
    "SELECT id FROM tasks INDEXED BY tasks_labels
     WHERE labels IS NOT NULL AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
);
/// Pending tasks are those with a dispatch row.
const PENDING: Way =
    way!("SELECT task_id AS id FROM dispatches WHERE task_id < ?1 AND task_id >= ?2 ORDER BY task_id DESC LIMIT ?3");
const RUNNING: Way = way!(
    "SELECT id FROM tasks INDEXED BY tasks_running
     WHERE status = 1 AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
);
const PROBLEM: Way = way!(
    "SELECT id FROM tasks INDEXED BY tasks_problem
     WHERE status IN (3, 4, 5) AND status = ?4 AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
);

fn way(filter: &TaskFilter) -> &'static Way {
    if filter.parent_id.is_some() {
        return &CHILDREN;
    }
    match filter.status {
        Some(TaskStatus::InProgress) => &RUNNING,
        Some(TaskStatus::Failed | TaskStatus::Expired | TaskStatus::Cancelled) => &PROBLEM,
        _ if !filter.labels.is_empty() => &LABELLED,
        Some(TaskStatus::Pending) => &PENDING,
        Some(TaskStatus::Completed) | None => &BY_AGE,
    }
}

pub(super) async fn list(
    store: &SqliteStore,
    filter: &TaskFilter,
    before: Option<TaskId>,
    limit: usize,
) -> Result<TaskPage, Error> {
    let way = way(filter);
    // One more than asked for tells whether there is another page.
    let rows = bind(way.page, filter, before, UNINDEXED_SCAN, limit + 1)
        .fetch_all(&store.read)
        .await
        .map_err(sql)?;
    let mut items = rows.iter().map(task).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let truncated = !more && {
        let row = bind(way.candidates, filter, before, UNINDEXED_SCAN + 1, limit + 1)
            .fetch_one(&store.read)
            .await
            .map_err(sql)?;
        get::<i64>(&row, "candidates")? > signed(UNINDEXED_SCAN)
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

fn bind<'q>(
    statement: &'static str,
    filter: &'q TaskFilter,
    before: Option<TaskId>,
    window: usize,
    limit: usize,
) -> Query<'q, Sqlite, SqliteArguments> {
    let newest = filter
        .created_before
        .map_or(Uuid::max(), |time| first_id_at(time + ID_TIME_SLACK));
    let oldest = filter
        .created_after
        .map_or(Uuid::nil(), |time| first_id_at(time - ID_TIME_SLACK));
    sqlx::query(statement)
        .bind(before.map_or(newest, |before| before.0.min(newest)))
        .bind(oldest)
        .bind(signed(window))
        .bind(filter.status.map(|status| i64::from(status.code())))
        .bind(filter.name.as_ref().map(TaskName::as_str))
        .bind(filter.target.as_ref().map(Target::as_str))
        .bind(filter.parent_id.map(|id| id.0))
        .bind((!filter.labels.is_empty()).then(|| json(&filter.labels)))
        .bind(filter.created_after.map(Timestamp::as_micros))
        .bind(filter.created_before.map(Timestamp::as_micros))
        .bind(signed(limit))
}

/// The smallest id whose UUIDv7 time is `at`.
fn first_id_at(at: Timestamp) -> Uuid {
    let milliseconds = u64::try_from(at.as_micros() / 1_000).unwrap_or(0);
    Uuid::from_u64_pair(milliseconds << 16, 0)
}
