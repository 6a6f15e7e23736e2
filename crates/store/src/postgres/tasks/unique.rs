//! Tasks that are made only once: the row of their likeness is locked from the look at the one that is there to the commit of the
//! next. Likenesses are locked before keys, in their order.

use std::collections::HashMap;

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{TaskId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::rows::{Place, Time, timestamp};
use super::super::transaction::Abort;
use super::apply::column;
use crate::NewTask;
use crate::decide::{self, Holder};

/// Those of the new tasks that are not to be stored, each with the one it meets.
pub(in super::super) async fn meet(
    connection: &mut PgConnection,
    tasks: &[&NewTask],
    now: Timestamp,
) -> Result<HashMap<TaskId, TaskId>, Abort> {
    let likenesses = decide::likenesses(tasks.iter().copied());
    if likenesses.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted: Vec<(&str, TaskId)> = likenesses.into_iter().collect();
    let kept: Vec<(String, Uuid)> = sqlx::query_as(
        "INSERT INTO unique_keys AS known (hash, task_id)
        SELECT * FROM UNNEST($1::text[], $2::uuid[]) AS new (hash, task_id)
        ORDER BY hash COLLATE \"C\"
        -- No change but the lock.
        ON CONFLICT (hash) DO UPDATE SET hash = known.hash
        RETURNING hash, task_id",
    )
    .bind(column(&wanted, |(hash, _)| *hash))
    .bind(column(&wanted, |(_, task)| task.0))
    .fetch_all(&mut *connection)
    .await?;
    let before: HashMap<Uuid, String> = kept
        .into_iter()
        .filter(|(_, task)| !wanted.iter().any(|(_, new)| new.0 == *task))
        .map(|(hash, task)| (task, hash))
        .collect();
    let mut holders = HashMap::with_capacity(before.len());
    if !before.is_empty() {
        let rows: Vec<(Uuid, i16, Time)> =
            sqlx::query_as("SELECT id, status, created_at FROM tasks WHERE id = ANY($1::uuid[])")
                .bind(before.keys().copied().collect::<Vec<_>>())
                .fetch_all(&mut *connection)
                .await?;
        for (id, status, created_at) in rows {
            let place = Place {
                table: "tasks",
                row: &id,
            };
            let holder = Holder {
                task: TaskId(id),
                status: place.present("status", TaskStatus::from_code(status))?,
                created_at: timestamp(created_at),
            };
            holders.insert(before[&id].clone(), holder);
        }
    }
    let met = decide::meet(tasks.iter().copied(), &mut holders, now);
    let newest: Vec<(&String, &Holder)> = holders.iter().collect();
    sqlx::query(
        "UPDATE unique_keys SET task_id = new.task_id
        FROM UNNEST($1::text[], $2::uuid[]) AS new (hash, task_id)
        WHERE unique_keys.hash = new.hash AND unique_keys.task_id <> new.task_id",
    )
    .bind(column(&newest, |(hash, _)| hash.as_str()))
    .bind(column(&newest, |(_, holder)| holder.task.0))
    .execute(connection)
    .await?;
    Ok(met)
}
