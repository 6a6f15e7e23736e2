//! Tasks that come without a request of their own: the members of a group, and what comes after it.

use std::collections::HashMap;

use orchestratum_core::{TaskId, Timestamp, WorkerId};
use sqlx::PgConnection;

use super::super::transaction::Abort;
use super::create::{insert_begun, insert_tasks};
use super::{gates, unique};
use crate::decide::{DispatchRow, GateChanges};
use crate::{NewTask, Ready};

/// Inserts tasks of which none is there, and lets them ask for what they need. The caller announces those that got it, and others
/// that did with them.
pub(in super::super) async fn insert_asking(
    connection: &mut PgConnection,
    tasks: &[&NewTask],
    now: Timestamp,
) -> Result<Vec<Ready>, Abort> {
    insert_tasks(connection, tasks, now).await?;
    ask(connection, tasks, now).await
}

/// The same with tasks of sagas, of which some run already.
pub(in super::super) async fn insert_issued(
    connection: &mut PgConnection,
    tasks: &[&NewTask],
    taken: &HashMap<TaskId, WorkerId>,
    now: Timestamp,
) -> Result<Vec<Ready>, Abort> {
    if taken.is_empty() {
        return insert_asking(connection, tasks, now).await;
    }
    insert_begun(connection, tasks, taken, now).await?;
    ask(connection, tasks, now).await
}

async fn ask(connection: &mut PgConnection, tasks: &[&NewTask], now: Timestamp) -> Result<Vec<Ready>, Abort> {
    let mut changes = GateChanges::default();
    changes.created(tasks.iter().copied(), now);
    let publish_at = DispatchRow::publish_at(now, true, now);
    gates::settle(connection, &changes, publish_at, now).await
}

/// The task like it that is there already, if it is unique.
pub(in super::super) async fn met_by(
    connection: &mut PgConnection,
    task: &NewTask,
    now: Timestamp,
) -> Result<Option<TaskId>, Abort> {
    let met = unique::meet(connection, &[task], now).await?;
    Ok(met.get(&task.spec.id).copied())
}
