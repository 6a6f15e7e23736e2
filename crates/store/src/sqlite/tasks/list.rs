//! Lists of tasks, newest first. No more than a window of candidates is looked at.

use orchestratum_core::{Target, TaskId, TaskName, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, json, select_task, signed, task};
use crate::decide::{self, IdRange, Way};
use crate::{Error, PAGE_BYTES, TaskFilter, TaskPage, UNINDEXED_SCAN};

/// The statements of one way through the tasks: the page, and how many candidates there are.
struct Statements {
    page: &'static str,
    candidates: &'static str,
}

/// `$window` selects ids below `?1` and from `?2` on, newest first, at most `?3`. Both statements have the same
/// parameters, so that one function binds them.
macro_rules! way {
    ($window:literal) => {
        Statements {
            // The page is found by ids and sizes, which are told without reading the texts; those of the page follow.
            page: select_task!(
                ", p.found
                 FROM (
                 SELECT
                     id,
                     count(*) OVER () AS found,
                     sum(size) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
                     row_number() OVER (ORDER BY id DESC) AS place
                 FROM (
                 SELECT
                     t.id,
                     octet_length(t.input) + coalesce(octet_length(t.output), 0)
                         + coalesce(octet_length(t.error), 0) + coalesce(octet_length(t.description), 0)
                         + coalesce(octet_length(t.follow_ups), 0) AS size
                 FROM (",
                $window,
                ") c
                 CROSS JOIN tasks t ON t.id = c.id
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
                   AND (?13 IS NULL OR t.schedule_id = ?13)
                   AND (?14 IS NULL OR t.saga_id = ?14)
                 ORDER BY c.id DESC
                 LIMIT ?11
                 )
                 ) p
                 CROSS JOIN tasks t ON t.id = p.id
                 LEFT JOIN dispatches d ON d.task_id = p.id
                 WHERE p.bytes <= ?12 OR p.place = 1
                 ORDER BY p.id DESC"
            ),
            candidates: concat!(
                "SELECT count(*) AS candidates FROM (",
                $window,
                ") WHERE ?11 IS NOT NULL AND ?12 IS NOT NULL AND ?13 IS ?13 AND ?14 IS ?14"
            ),
        }
    };
}

const NEWEST: Statements = way!("SELECT id FROM tasks WHERE id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3");
const CHILDREN: Statements = way!(
    "SELECT id FROM tasks INDEXED BY tasks_parent
     WHERE parent_id IS NOT NULL AND parent_id = ?7 AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
);
const SCHEDULED: Statements = way!(
    "SELECT id FROM tasks INDEXED BY tasks_schedule
     WHERE schedule_id IS NOT NULL AND schedule_id = ?13 AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
);
const OF_SAGA: Statements = way!(
    "SELECT id FROM tasks INDEXED BY tasks_saga
     WHERE saga_id IS NOT NULL AND saga_id = ?14 AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
);
const LABELLED: Statements = way!(
    "SELECT id FROM tasks INDEXED BY tasks_labels
     WHERE labels IS NOT NULL AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
);
const PENDING: Statements =
    way!("SELECT task_id AS id FROM dispatches WHERE task_id < ?1 AND task_id >= ?2 ORDER BY task_id DESC LIMIT ?3");
const RUNNING: Statements = way!(
    "SELECT id FROM tasks INDEXED BY tasks_running
     WHERE status = 1 AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
);
const PROBLEM: Statements = way!(
    "SELECT id FROM tasks INDEXED BY tasks_problem
     WHERE status IN (3, 4, 5) AND status = ?4 AND id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3"
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
    store: &SqliteStore,
    filter: &TaskFilter,
    before: Option<TaskId>,
    limit: usize,
) -> Result<TaskPage, Error> {
    let statements = statements(Way::of(filter));
    let range = IdRange::of(filter, before);
    // One more than asked for tells whether there is another page.
    let rows = bind(statements.page, filter, range, UNINDEXED_SCAN, limit + 1)
        .fetch_all(&store.read)
        .await
        .map_err(sql)?;
    let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
    let items = rows.iter().take(limit).map(task).collect::<Result<_, _>>()?;
    let mut page = decide::page(items, usize::try_from(found).unwrap_or(usize::MAX));
    if page.next.is_none() && decide::narrows(filter) {
        let row = bind(statements.candidates, filter, range, UNINDEXED_SCAN + 1, limit + 1)
            .fetch_one(&store.read)
            .await
            .map_err(sql)?;
        page.truncated = get::<i64>(&row, "candidates")? > signed(UNINDEXED_SCAN);
    }
    Ok(page)
}

fn bind<'q>(
    statement: &'static str,
    filter: &'q TaskFilter,
    range: IdRange,
    window: usize,
    limit: usize,
) -> Query<'q, Sqlite, SqliteArguments> {
    sqlx::query(statement)
        .bind(range.upper)
        .bind(range.lower)
        .bind(signed(window))
        .bind(filter.status.map(|status| i64::from(status.code())))
        .bind(filter.name.as_ref().map(TaskName::as_str))
        .bind(filter.target.as_ref().map(Target::as_str))
        .bind(filter.parent_id.map(|id| id.0))
        .bind((!filter.labels.is_empty()).then(|| json(&filter.labels)))
        .bind(filter.created_after.map(Timestamp::as_micros))
        .bind(filter.created_before.map(Timestamp::as_micros))
        .bind(signed(limit))
        .bind(signed(PAGE_BYTES))
        .bind(filter.schedule_id.map(|id| id.0))
        .bind(filter.saga_id.map(|id| id.0))
}
