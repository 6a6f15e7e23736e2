//! A batch of successes that something follows: read, decided without a lock, and written in one statement whose guard is the
//! version that was read. Expressions take their time while nobody waits for a row.
//!
//! A task that began this way is not read: its worker has kept what was written, and brings it back.
//!
//! Their worker may go on with what follows: the new task is written as running there, and never waits as a dispatch row. The
//! conditions of a claim are conditions of the whole statement; where they do not hold nothing is written, and the batch goes
//! the long way, on which everything waits its turn.

use std::collections::{HashMap, HashSet};

use orchestratum_core::task::{AttemptOutcome, TaskEvent, TaskState, TaskStatus};
use orchestratum_core::{JsonText, TaskId, Timestamp};
use uuid::Uuid;

use super::super::super::database::{AfterUnknown, Database};
use super::super::super::rows::{int4, time};
use super::super::begun::Begun;
use super::super::create::{Columns, insert_dispatches_text, insert_tasks_text};
use super::super::row::{LockedRow, source_columns, stored_columns};
use super::write::{bytes, column};
use crate::decide::{self, Decision, Stored, claimed_at_once, known_at_once};
use crate::{Change, ChangeOutcome, Changed, ClaimedTask, Error, KnownTask, NewTask};

/// What became of those whose guard held. The others have moved on since they were read, or nothing follows them.
pub(super) async fn apply(
    database: &Database,
    changes: &[Change],
    now: Timestamp,
) -> Result<HashMap<TaskId, Changed>, Error> {
    let tasks = known_or_read(database, changes).await?;
    let is_open = |change: &&Change| {
        let task = tasks.get(&change.task);
        // The short way for successes has let each of these through but for its guard.
        task.is_some_and(|task| {
            matches!(task.life.state, TaskState::InProgress { .. }) && attempt_of(change) == Some(task.life.attempt)
        })
    };
    let open: Vec<Change> = changes.iter().filter(is_open).cloned().collect();
    if open.is_empty() {
        return Ok(HashMap::new());
    }
    let mut decision = decide::apply(&open, tasks, HashMap::new(), &database.limits, now);
    if decision.follow_ups.iter().any(|task| task.spec.conditions.is_some()) {
        // They are settled the long way, too.
        return Ok(HashMap::new());
    }
    let written = write(database, &decision, now).await?;
    let mut done = HashMap::with_capacity(written.len());
    for outcome in std::mem::take(&mut decision.outcomes) {
        if let ChangeOutcome::Done(changed) = outcome
            && written.contains(&changed.task)
        {
            done.insert(changed.task, with_claims(changed, &decision, now));
        }
    }
    Ok(done)
}

/// With what its worker goes on with.
fn with_claims(mut changed: Changed, decision: &Decision<'_>, now: Timestamp) -> Changed {
    let taken = |id: &TaskId| decision.taken.contains_key(id);
    for follow_up in changed.followed.tasks.iter_mut().filter(|task| taken(&task.task)) {
        let place = decision
            .follow_ups
            .binary_search_by_key(&follow_up.task, |task| task.spec.id);
        follow_up.claimed = place.ok().map(|place| {
            let task = &decision.follow_ups[place];
            let worker = decision.taken.get(&follow_up.task);
            Box::new(ClaimedTask {
                known: worker.and_then(|worker| known_at_once(task, *worker, now)),
                ..claimed_at_once(task, now)
            })
        });
    }
    changed
}

fn attempt_of(change: &Change) -> Option<u32> {
    match &change.event {
        TaskEvent::Reported(report) => Some(report.attempt),
        _ => None,
    }
}

/// Each as its worker has brought it, or as it is read: of a chain only the first is.
async fn known_or_read(database: &Database, changes: &[Change]) -> Result<HashMap<TaskId, Stored>, Error> {
    let mut tasks = HashMap::with_capacity(changes.len());
    let mut unknown = Vec::new();
    for change in changes {
        let known = change.takes.as_ref().and_then(|takes| takes.known.as_ref());
        match known.filter(|KnownTask(task)| task.id == change.task) {
            Some(KnownTask(task)) => {
                tasks.insert(change.task, Stored::clone(task));
            }
            None => unknown.push(change.task.0),
        }
    }
    if !unknown.is_empty() {
        tasks.extend(read(database, &unknown).await?);
    }
    Ok(tasks)
}

async fn read(database: &Database, ids: &[Uuid]) -> Result<HashMap<TaskId, Stored>, Error> {
    let none: [Uuid; 0] = [];
    let rows: Vec<LockedRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(concat!(
                "SELECT ",
                stored_columns!(),
                ", ",
                source_columns!(),
                // Only for tasks that went back meanwhile, and are passed over.
                ", tasks.scheduled_at AS due_at, NULL::smallint AS dispatch_state
                FROM tasks
                -- Keys are settled, and sagas told, the long way.
                WHERE id = ANY($1) AND follow_ups IS NOT NULL AND conditions IS NULL AND saga_id IS NULL"
            ))
            .bind(ids)
            .bind(&none[..])
        })
        .await?;
    rows.into_iter()
        .map(|row| row.into_stored().map(|task| (task.id, task)))
        .collect()
}

/// Writes what was decided of the tasks that are still as they were read, and returns those.
async fn write(database: &Database, decision: &Decision<'_>, now: Timestamp) -> Result<HashSet<TaskId>, Error> {
    let mut tasks: Vec<_> = decision.tasks.iter().zip(&decision.attempts).collect();
    tasks.sort_unstable_by_key(|(task, _)| task.after.id);
    let ids = column(&tasks, |(task, _)| task.after.id.0);
    let attempts = column(&tasks, |(_, attempt)| int4(attempt.ended.attempt));
    let versions = column(&tasks, |(task, _)| int4(task.after.life.version - 1));
    let outputs = column(&tasks, |(task, _)| {
        task.output.iter().flatten().map(JsonText::as_str).next()
    });
    let exit_codes = column(&tasks, |(_, attempt)| attempt.exit_code);
    let peaks = column(&tasks, |(_, attempt)| attempt.peak_memory_bytes.map(bytes));
    let follow_ups: Vec<&NewTask> = decision.follow_ups.iter().collect();
    let begun = Begun::of(&follow_ups, &decision.taken, now);
    let mut follow_ups = Columns::of(&follow_ups, now);
    follow_ups.without_dispatches(|id| decision.taken.contains_key(&TaskId(*id)));
    let follow_ups = follow_ups;
    let missing = &decision.missing;
    let missing_parents = column(missing, |one| one.parent.0);
    let missing_runs = column(missing, |one| int4(one.place.run));
    let missing_edges = column(missing, |one| one.place.edge.code());
    let missing_ordinals = column(missing, |one| i32::from(one.place.index));
    let missing_names = column(missing, |one| one.name.as_str());
    let missing_causes = column(missing, |one| one.cause.code());
    let missing_reasons = column(missing, |one| one.reason.as_str());
    let completed: Vec<(Uuid,)> = database
        // A second time the guard does not hold, and nothing is written.
        .all(AfterUnknown::Repeat, || {
            follow_ups
                .bind_following(sqlx::query_as(COMPLETE_FOLLOWED))
                .bind(&ids)
                .bind(&attempts)
                .bind(&versions)
                .bind(&outputs)
                .bind(&exit_codes)
                .bind(&peaks)
                .bind(time(now))
                .bind(&missing_parents)
                .bind(&missing_runs)
                .bind(&missing_edges)
                .bind(&missing_ordinals)
                .bind(&missing_names)
                .bind(&missing_causes)
                .bind(&missing_reasons)
                .bind(&begun.statuses)
                .bind(&begun.attempts)
                .bind(&begun.versions)
                .bind(&begun.workers)
                .bind(&begun.starts)
                .bind(&begun.claimants)
                .bind(&begun.targets)
        })
        .await?;
    Ok(completed.into_iter().map(|(id,)| TaskId(id)).collect())
}

const COMPLETE_FOLLOWED: &str = concat!(
    "WITH reported AS MATERIALIZED (
        SELECT *, 1::smallint AS status
        FROM UNNEST($29::uuid[], $30::integer[], $31::integer[], $32::text[], $33::integer[], $34::bigint[])
            AS reported (task_id, attempt, version, output, exit_code, peak_memory_bytes)
    ),
    completed AS (
        UPDATE tasks
        SET status = 2,
            version = tasks.version + 1,
            cancel_requested = false,
            finished_at = $35,
            output = reported.output,
            error = NULL
        FROM reported
        WHERE tasks.id = reported.task_id
          AND tasks.status = reported.status
          AND tasks.attempt = reported.attempt
          -- Whatever its follow-ups saw of it is still so.
          AND tasks.version = reported.version
          -- All that a claim asks of its worker and of the targets.
          AND NOT EXISTS (SELECT FROM paused_targets WHERE target = ANY($49::text[]))
          AND NOT EXISTS (SELECT FROM target_rates WHERE target = ANY($49::text[]))
          AND cardinality($48::uuid[]) = (
              SELECT count(*) FROM workers WHERE id = ANY($48::uuid[]) AND state = 0 AND lease_expires_at > $35
          )
        RETURNING
            tasks.id AS completed_id, tasks.attempt AS ended_attempt, tasks.run AS ended_run,
            tasks.worker_id AS ended_worker, tasks.started_at AS ended_start, tasks.group_id AS ended_group,
            reported.exit_code AS ended_code, reported.peak_memory_bytes AS ended_peak
    ),
    ended AS (
        INSERT INTO attempts (
            task_id, attempt, run, worker_id, outcome, started_at, ended_at, exit_code, peak_memory_bytes
        )
        SELECT completed_id, ended_attempt, ended_run, ended_worker, 0, ended_start, $35, ended_code, ended_peak
        FROM completed
    ),
    members AS (
        INSERT INTO group_ends (group_id, ended, failed)
        SELECT ended_group, count(*), 0 FROM completed WHERE ended_group IS NOT NULL GROUP BY ended_group
    ),
    missing AS (
        INSERT INTO missing_follow_ups (parent_id, parent_run, edge, ordinal, name, cause, reason, missing_since)
        SELECT gap.parent_id, gap.parent_run, gap.edge, gap.ordinal, gap.name, gap.cause, gap.reason, $35
        FROM UNNEST(
            $36::uuid[], $37::integer[], $38::smallint[], $39::integer[], $40::text[], $41::smallint[], $42::text[]
        ) AS gap (parent_id, parent_run, edge, ordinal, name, cause, reason)
        WHERE gap.parent_id IN (SELECT completed_id FROM completed)
    ),
    task AS (",
    insert_tasks_text!(
        ", follow_ups, parent_run, edge, ordinal, group_id, group_index, status, attempt, version, worker_id, started_at",
        ", $23::text[], $24::integer[], $25::smallint[], $26::integer[], $27::uuid[], $28::integer[],
            $43::smallint[], $44::integer[], $45::integer[], $46::uuid[], $47::timestamptz[]",
        "
        -- FULL, so that it is hashed, and a condition that does not make it another kind of join.
        FULL JOIN completed ON completed.completed_id = new.parent_id
        WHERE num_nonnulls(completed.completed_id, new.id) = 2"
    ),
    "),
    dispatch AS (",
    insert_dispatches_text!(
        "
        -- One that runs already waits for nobody.
        WHERE num_nonnulls(task.id, new.task_id, new.state) = 3"
    ),
    ")
    SELECT completed_id FROM completed"
);

const _: () = assert!(
    AttemptOutcome::Success.code() == 0 && TaskStatus::Pending.code() == 0 && TaskStatus::InProgress.code() == 1,
    "the numbers in the statement"
);
