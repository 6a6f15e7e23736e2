//! Putting events to tasks.
//!
//! ```text
//!   success   only reports of success       one statement, one round trip     (most of what happens)
//!   followed  those that something follows  read ─► decide ─► one statement   (what was read is its guard)
//!   otherwise lock ─► decide ─► write       one transaction                   (decide is pure and asks `transition`)
//! ```

mod followed;
mod lock;
mod success;
mod write;

pub use self::success::COMPLETE;
pub(in super::super) use self::write::column;

use std::collections::{HashMap, HashSet};

use orchestratum_core::task::{AttemptOutcome, SpecLimits};
use orchestratum_core::{TaskId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::database::Database;
use super::super::rows::{Place, int4};
use super::super::transaction::{Abort, Transaction};
use super::{gates, unique};
use crate::{Change, ChangeOutcome, Error, NewTask, decide};

pub(super) async fn apply(
    database: &Database,
    changes: &[Change],
    now: Timestamp,
) -> Result<Vec<ChangeOutcome>, Error> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let Some(successes) = decide::successes(changes) else {
        return apply_any(database, changes.to_vec(), now).await;
    };
    // Whoever takes what follows says with that what there is to follow.
    let completed = if changes.iter().all(|change| change.takes.is_some()) {
        Vec::new()
    } else {
        success::apply(database, successes, now).await?
    };
    let short = decide::ShortWay::new(changes, completed, now);
    let left = short.left(changes);
    if left.is_empty() {
        return Ok(short.with(Vec::new()));
    }
    let followed = decide::ShortWay::of(&left, followed::apply(database, &left, now).await?);
    let left = followed.left(&left);
    let rest = if left.is_empty() {
        Vec::new()
    } else {
        apply_any(database, left, now).await?
    };
    Ok(short.with(followed.with(rest)))
}

async fn apply_any(database: &Database, mut changes: Vec<Change>, now: Timestamp) -> Result<Vec<ChangeOutcome>, Error> {
    let limits = database.limits;
    let mut outcomes = Vec::with_capacity(changes.len());
    // Once, but where follow-ups are so dear that a transaction takes only some of them.
    loop {
        let left = changes.len();
        let rest = Apply { changes, limits, now };
        let (decided, undecided) = database.transact(rest).await?;
        assert!(undecided.len() < left, "each transaction decides one change at least");
        outcomes.extend(decided);
        if undecided.is_empty() {
            return Ok(outcomes);
        }
        changes = undecided;
    }
}

pub(in super::super) struct Apply {
    pub(in super::super) changes: Vec<Change>,
    pub(in super::super) limits: SpecLimits,
    pub(in super::super) now: Timestamp,
}

impl Transaction for Apply {
    /// And the changes that are left.
    type Output = (Vec<ChangeOutcome>, Vec<Change>);

    async fn perform(&self, connection: &mut PgConnection) -> Result<Self::Output, Abort> {
        let tasks = lock::lock(connection, &self.changes).await?;
        let recorded = recorded_attempts(connection, &decide::doubtful_reports(&self.changes, &tasks)).await?;
        let mut decision = decide::apply(&self.changes, tasks, recorded, &self.limits, self.now);
        write::write(connection, &decision, self.now).await?;
        let follow_ups: Vec<&NewTask> = decision.follow_ups.iter().collect();
        let met = unique::meet(connection, &follow_ups, self.now).await?;
        decision.admit_follow_ups(&met, self.now);
        write::write_follow_ups(connection, &decision, self.now).await?;
        let publish_at = decision.admitted_publish_at(self.now);
        let admitted = gates::settle(connection, &decision.gates, publish_at, self.now).await?;
        let undecided = self.changes[decision.outcomes.len()..].to_vec();
        Ok((decision.answers(admitted), undecided))
    }
}

/// A report that will be refused may be one whose first answer was lost: then its attempt is recorded.
async fn recorded_attempts(
    connection: &mut PgConnection,
    doubtful: &[(TaskId, u32)],
) -> Result<HashMap<(TaskId, u32), AttemptOutcome>, Abort> {
    if doubtful.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, i32, i16)> = sqlx::query_as(
        "SELECT task_id, attempt, outcome
        FROM attempts
        WHERE (task_id, attempt) IN (SELECT * FROM UNNEST($1::uuid[], $2::integer[]))",
    )
    .bind(doubtful.iter().map(|(task, _)| task.0).collect::<Vec<_>>())
    .bind(doubtful.iter().map(|(_, attempt)| int4(*attempt)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(task, attempt, outcome)| {
            let row = format!("{task}/{attempt}");
            let place = Place {
                table: "attempts",
                row: &row,
            };
            let outcome = place.present("outcome", AttemptOutcome::from_code(outcome))?;
            Ok(((TaskId(task), place.number("attempt", attempt)?), outcome))
        })
        .collect()
}

/// The tasks of these changes, each once, in the order in which everyone locks.
fn ids_in_order(changes: &[Change]) -> Vec<Uuid> {
    let ids: HashSet<TaskId> = changes.iter().map(|change| change.task).collect();
    let mut ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids
}
