//! Lists of tasks, newest first.

use orchestratum_core::TaskId;
use orchestratum_core::task::TaskStatus;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{json, select_task, signed, task};
use crate::{Error, TaskFilter, TaskPage, UNINDEXED_SCAN};

/// A list whose candidates come from `$from` by way of `$condition`; what that does not decide, the rows do.
macro_rules! list {
    (from $from:literal where $condition:literal) => {
        select_task!(
            $from,
            " WHERE ",
            $condition,
            " AND t.id < ?1
              AND (?2 IS NULL OR t.id >= ?2)
              AND (?3 IS NULL OR t.name = ?3)
              AND (?4 IS NULL OR t.target = ?4)
              AND (?5 IS NULL OR t.parent_id = ?5)
              AND (?6 IS NULL OR t.created_at >= ?6)
              AND (?7 IS NULL OR t.created_at < ?7)
              AND (?8 IS NULL OR t.status = ?8)
              AND (?9 IS NULL OR NOT EXISTS (
                      SELECT 1
                      FROM json_each(?9) l
                      WHERE NOT EXISTS (
                          SELECT 1 FROM json_each(t.labels) x WHERE x.key = l.key AND x.value = l.value
                      )
                  ))
              ORDER BY t.id DESC
              LIMIT ?10"
        )
    };
}

/// By the primary key.
const BY_AGE: &str = list!(from "FROM tasks t LEFT JOIN dispatches d ON d.task_id = t.id" where "TRUE");
/// Pending tasks are those with a dispatch row.
const PENDING: &str = list!(from "FROM dispatches d CROSS JOIN tasks t ON t.id = d.task_id" where "d.task_id < ?1");
const RUNNING: &str = list!(
    from "FROM tasks t INDEXED BY tasks_running LEFT JOIN dispatches d ON d.task_id = t.id" where "t.status = 1"
);
const PROBLEM: &str = list!(
    from "FROM tasks t INDEXED BY tasks_problem LEFT JOIN dispatches d ON d.task_id = t.id"
    where "t.status IN (3, 4, 5) AND t.status = ?8"
);
const CHILDREN: &str = list!(
    from "FROM tasks t INDEXED BY tasks_parent LEFT JOIN dispatches d ON d.task_id = t.id"
    where "t.parent_id IS NOT NULL AND t.parent_id = ?5"
);
const LABELLED: &str = list!(
    from "FROM tasks t INDEXED BY tasks_labels LEFT JOIN dispatches d ON d.task_id = t.id"
    where "t.labels IS NOT NULL"
);

/// Which index serves the filter best.
fn statement(filter: &TaskFilter) -> &'static str {
    if filter.parent_id.is_some() {
        CHILDREN
    } else if !filter.labels.is_empty() {
        LABELLED
    } else {
        match filter.status {
            Some(TaskStatus::Pending) => PENDING,
            Some(TaskStatus::InProgress) => RUNNING,
            Some(TaskStatus::Failed | TaskStatus::Expired | TaskStatus::Cancelled) => PROBLEM,
            Some(TaskStatus::Completed) | None => BY_AGE,
        }
    }
}

/// A name or a target alone has no index.
fn is_unindexed(filter: &TaskFilter) -> bool {
    (filter.name.is_some() || filter.target.is_some())
        && filter.status.is_none()
        && filter.parent_id.is_none()
        && filter.labels.is_empty()
}

pub(super) async fn list(
    store: &SqliteStore,
    filter: &TaskFilter,
    before: Option<TaskId>,
    limit: usize,
) -> Result<TaskPage, Error> {
    let oldest = if is_unindexed(filter) {
        oldest_seen(store).await?
    } else {
        None
    };
    let rows = sqlx::query(statement(filter))
        .bind(before.map_or(Uuid::max(), |id| id.0))
        .bind(oldest)
        .bind(filter.name.as_ref().map(|name| name.as_str()))
        .bind(filter.target.as_ref().map(|target| target.as_str()))
        .bind(filter.parent_id.map(|id| id.0))
        .bind(filter.created_after.map(orchestratum_core::Timestamp::as_micros))
        .bind(filter.created_before.map(orchestratum_core::Timestamp::as_micros))
        .bind(filter.status.map(|status| i64::from(status.code())))
        .bind((!filter.labels.is_empty()).then(|| json(&filter.labels)))
        .bind(signed(limit.saturating_add(1)))
        .fetch_all(&store.read)
        .await
        .map_err(sql)?;
    let mut items = rows.iter().map(task).collect::<Result<Vec<_>, _>>()?;
    // One more than wanted was asked for, to know whether there is a next page.
    let next = if items.len() > limit {
        items.truncate(limit);
        items.last().map(|task| task.spec.id)
    } else {
        None
    };
    Ok(TaskPage {
        items,
        next,
        truncated: oldest.is_some(),
    })
}

/// The last task that a list without an index looks at, if there are older ones.
async fn oldest_seen(store: &SqliteStore) -> Result<Option<Uuid>, Error> {
    let oldest: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM tasks ORDER BY id DESC LIMIT 2 OFFSET ?1")
        .bind(signed(UNINDEXED_SCAN - 1))
        .fetch_all(&store.read)
        .await
        .map_err(sql)?;
    Ok((oldest.len() == 2).then(|| oldest[0]))
}
