//! Putting events to tasks.
//!
//! ```text
//!   success   only reports of success       one statement, one round trip     (most of what happens)
//!   otherwise lock ─► decide ─► write       one transaction                   (decide is pure and asks `transition`)
//! ```

mod decide;
mod lock;
mod success;
mod write;

use std::collections::{HashMap, HashSet};

use orchestratum_core::task::{AttemptOutcome, Refusal, TaskEvent};
use orchestratum_core::{TaskId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::database::Database;
use super::super::rows::int4;
use super::super::transaction::{Abort, Transaction};
use crate::{Change, ChangeOutcome, Error};

pub(super) async fn apply(
    database: &Database,
    changes: &[Change],
    now: Timestamp,
) -> Result<Vec<ChangeOutcome>, Error> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    if !success::is_all(changes) {
        return apply_any(database, changes.to_vec(), now).await;
    }
    let mut outcomes = success::apply(database, changes, now).await?;
    let left: Vec<usize> = (0..changes.len()).filter(|&index| outcomes[index].is_none()).collect();
    if !left.is_empty() {
        let rest = left.iter().map(|&index| changes[index].clone()).collect();
        for (index, outcome) in left.into_iter().zip(apply_any(database, rest, now).await?) {
            outcomes[index] = Some(outcome);
        }
    }
    Ok(outcomes
        .into_iter()
        .map(|outcome| outcome.expect("each change was answered by one of the two ways"))
        .collect())
}

async fn apply_any(database: &Database, changes: Vec<Change>, now: Timestamp) -> Result<Vec<ChangeOutcome>, Error> {
    database.transact(Apply { changes, now }).await
}

struct Apply {
    changes: Vec<Change>,
    now: Timestamp,
}

impl Transaction for Apply {
    type Output = Vec<ChangeOutcome>;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Self::Output, Abort> {
        let mut tasks = lock::lock(connection, &self.changes).await?;
        let decision = decide::decide(&mut tasks, &self.changes, self.now);
        let mut outcomes = decision.outcomes;
        write::write(connection, &tasks, &decision.effects, self.now).await?;
        recognise_repeats(connection, &self.changes, &mut outcomes).await?;
        Ok(outcomes)
    }
}

/// A report that is refused as stale may be one whose first answer was lost: then its attempt is recorded with its
/// outcome. Asked after the writes, so that a report that comes twice in one batch is recognised too.
async fn recognise_repeats(
    connection: &mut PgConnection,
    changes: &[Change],
    outcomes: &mut [ChangeOutcome],
) -> Result<(), Abort> {
    let stale: Vec<(usize, Uuid, i32, AttemptOutcome)> = changes
        .iter()
        .zip(&*outcomes)
        .enumerate()
        .filter_map(|(index, (change, outcome))| match (&change.event, outcome) {
            (
                TaskEvent::Reported(report),
                ChangeOutcome::Refused {
                    refusal: Refusal::StaleAttempt { .. },
                    ..
                },
            ) => Some((index, change.task.0, int4(report.attempt), report.ending.outcome())),
            _ => None,
        })
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    let recorded: Vec<(Uuid, i32, i16)> = sqlx::query_as(
        "SELECT task_id, attempt, outcome
        FROM attempts
        WHERE (task_id, attempt) IN (SELECT * FROM UNNEST($1::uuid[], $2::integer[]))",
    )
    .bind(stale.iter().map(|(_, task, _, _)| *task).collect::<Vec<_>>())
    .bind(stale.iter().map(|(_, _, attempt, _)| *attempt).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let recorded: HashMap<(Uuid, i32), i16> = recorded
        .into_iter()
        .map(|(task, attempt, outcome)| ((task, attempt), outcome))
        .collect();
    for (index, task, attempt, outcome) in stale {
        if recorded.get(&(task, attempt)) == Some(&outcome.code()) {
            outcomes[index] = ChangeOutcome::AlreadyReported;
        }
    }
    Ok(())
}

/// The tasks of these changes, each once, in the order in which everyone locks.
fn ids_in_order(changes: &[Change]) -> Vec<Uuid> {
    let ids: HashSet<TaskId> = changes.iter().map(|change| change.task).collect();
    let mut ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids
}
