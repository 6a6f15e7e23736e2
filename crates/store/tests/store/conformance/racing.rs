//! What happens when two want opposite things of one task at the same moment: one of them wins, whole, and the other is
//! told the state it lost to.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, Ending, TaskEvent, TaskStatus};

use super::lab::{Lab, audit, draft, failure, report, target};
use orchestratum_store::{Change, ChangeOutcome, ClaimedTask, Store};

/// As many as find a race that is lost once in a hundred.
const ROUNDS: usize = 200;

/// Both at once, on connections of their own.
async fn race(lab: &Lab, one: Change, other: Change) -> (ChangeOutcome, ChangeOutcome) {
    let run = |change: Change| {
        let (store, now) = (Arc::clone(&lab.store), lab.now);
        tokio::spawn(async move { store.apply(&[change], now).await.expect("works").remove(0) })
    };
    let (one, other) = (run(one), run(other));
    (one.await.expect("no panic"), other.await.expect("no panic"))
}

/// Tasks that run, all on one worker.
async fn running(lab: &Lab) -> Vec<ClaimedTask> {
    let tasks = (0..ROUNDS).map(|_| lab.task_of(draft("echo"))).collect();
    lab.try_create(tasks, None).await;
    let worker = lab.echo_worker().await;
    let mut all = Vec::new();
    while all.len() < ROUNDS {
        all.extend(lab.claim(worker).await);
    }
    all
}

async fn outcomes(lab: &Lab, task: TaskId) -> Vec<AttemptOutcome> {
    lab.attempts(task).await.iter().map(|attempt| attempt.outcome).collect()
}

fn cancel(task: TaskId) -> Change {
    Change::new(task, TaskEvent::CancelRequested { reason: None })
}

#[track_caller]
fn assert_refused(outcome: &ChangeOutcome, by: TaskStatus) {
    match outcome {
        ChangeOutcome::Refused { status, .. } => assert_eq!(*status, by, "{outcome:?}"),
        other => panic!("expected a refusal, not {other:?}"),
    }
}

fn is_done(outcome: &ChangeOutcome) -> bool {
    matches!(outcome, ChangeOutcome::Done(_))
}

pub(crate) async fn a_success_counts_whether_a_cancel_at_the_same_moment_came_before_or_after(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for task in running(&lab).await {
        let (cancelled, reported) = race(&lab, cancel(task.id), report(&task, Ending::Success)).await;
        assert!(is_done(&reported), "{reported:?}");
        if !is_done(&cancelled) {
            assert_refused(&cancelled, TaskStatus::Completed);
        }
        assert_eq!(lab.status(task.id).await, TaskStatus::Completed);
        assert_eq!(outcomes(&lab, task.id).await, [AttemptOutcome::Success]);
    }
}

pub(crate) async fn of_an_expiry_and_a_success_at_the_same_moment_one_counts(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let tasks = running(&lab).await;
    let deadline = tasks.iter().map(|task| task.expires_at).max().expect("some");
    lab.now = deadline + Duration::from_secs(5);
    for task in tasks {
        let expire = Change::new(task.id, TaskEvent::DeadlinePassed);
        let (expired, reported) = race(&lab, expire, report(&task, Ending::Success)).await;
        let (status, outcome) = if is_done(&expired) {
            assert_refused(&reported, TaskStatus::Expired);
            (TaskStatus::Expired, AttemptOutcome::TimedOut)
        } else {
            assert!(is_done(&reported), "{reported:?}");
            assert_refused(&expired, TaskStatus::Completed);
            (TaskStatus::Completed, AttemptOutcome::Success)
        };
        assert_eq!(lab.status(task.id).await, status);
        assert_eq!(outcomes(&lab, task.id).await, [outcome]);
    }
}

pub(crate) async fn a_cancel_at_the_moment_of_a_retry_ends_the_new_run_or_is_refused(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for task in running(&lab).await {
        lab.end(&task, failure()).await;
        let retry = TaskEvent::RetryRequested {
            ttl: Duration::from_secs(60),
        };
        let (retried, cancelled) = race(&lab, Change::new(task.id, retry), cancel(task.id)).await;
        assert!(is_done(&retried), "{retried:?}");
        let expected = if is_done(&cancelled) {
            TaskStatus::Cancelled
        } else {
            assert_refused(&cancelled, TaskStatus::Failed);
            TaskStatus::Pending
        };
        let life = lab.task(task.id).await.life;
        assert_eq!((life.status(), life.run), (expected, 2));
        assert_eq!(outcomes(&lab, task.id).await, [AttemptOutcome::Failed]);
    }
}

pub(crate) async fn nothing_is_claimed_after_a_pause_and_what_was_claimed_before_it_runs(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    let (request, here) = (lab.request(worker), target("default"));
    for _ in 0..ROUNDS {
        let id = lab.create(draft("echo")).await;
        let (store, now, asked) = (Arc::clone(&lab.store), lab.now, request.clone());
        let claiming = tokio::spawn(async move { store.claim(&asked, now).await.expect("works") });
        let paused = lab.store.set_paused(&here, true, &audit("pause"), lab.now).await;
        paused.expect("works");
        let late = lab.claimed_ids(&request).await;
        let claimed: Vec<TaskId> = claiming.await.expect("no panic").iter().map(|task| task.id).collect();
        assert_eq!(late, [], "it was paused before it asked");
        let expected = if claimed == [id] {
            TaskStatus::InProgress
        } else {
            assert_eq!(claimed, []);
            TaskStatus::Pending
        };
        assert_eq!(lab.status(id).await, expected);
        let resumed = lab.store.set_paused(&here, false, &audit("resume"), lab.now).await;
        resumed.expect("works");
        if expected == TaskStatus::Pending {
            assert_eq!(lab.claimed_ids(&request).await, [id]);
        }
        let attempt = lab.task(id).await.life.attempt;
        assert_eq!(attempt, 1);
        lab.apply(super::lab::report_of(id, attempt, Ending::Success)).await;
    }
}
