//! Events that are no report: cancels, deadlines, losses, retries; and batches.

use std::sync::Arc;

use orchestratum_core::task::{
    AttemptOutcome, Backoff, Ending, ErrorKind, LifePatch, Refusal, RetryPolicy, TaskDraft, TaskError, TaskEvent,
    TaskState, TaskStatus,
};
use orchestratum_core::{TaskId, WorkerId};

use super::lab::{Lab, SECOND, audit, draft, evidence, failure, report, retries};
use orchestratum_store::{Change, ChangeOutcome, RecordsBefore, Store};

fn cancel(reason: Option<&str>) -> TaskEvent {
    TaskEvent::CancelRequested {
        reason: reason.map(str::to_owned),
    }
}

fn with_ttl(seconds: f64) -> TaskDraft {
    TaskDraft {
        ttl_seconds: Some(seconds),
        ..draft("echo")
    }
}

pub(crate) async fn a_change_of_an_unknown_task_is_answered_not_found(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let outcome = lab.apply(Change::new(lab.id(), cancel(None))).await;
    assert_eq!(outcome, ChangeOutcome::NotFound);
}

pub(crate) async fn a_change_against_another_version_is_refused_and_tells_the_current_one(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let guarded = |version| Change {
        expected_version: Some(version),
        ..Change::new(id, cancel(None))
    };
    assert_eq!(
        lab.apply(guarded(2)).await,
        ChangeOutcome::VersionMismatch { current: 1 }
    );
    assert_eq!(lab.status(id).await, TaskStatus::Pending);
    assert!(matches!(lab.apply(guarded(1)).await, ChangeOutcome::Done(_)));
    assert_eq!(
        lab.apply(guarded(1)).await,
        ChangeOutcome::VersionMismatch { current: 2 },
        "before it is asked whether the state takes it"
    );
}

pub(crate) async fn a_claim_event_is_the_same_as_a_claim(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (first, second) = (lab.create(draft("echo")).await, lab.create(draft("echo")).await);
    let worker = lab.echo_worker().await;
    let changed = lab.put(first, TaskEvent::Claimed { worker }).await;
    let by_event = lab.assert_reads_as(&changed).await;
    lab.claim_one(worker).await;
    let by_claim = lab.task(second).await;
    assert_eq!(by_event.life, by_claim.life);
    assert_eq!(
        (by_event.worker, by_event.started_at),
        (by_claim.worker, by_claim.started_at)
    );
}

pub(crate) async fn a_pending_task_is_cancelled_at_once(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    lab.advance(SECOND);
    let changed = lab.put(id, cancel(Some("no longer needed"))).await;
    assert_eq!(changed.before, TaskStatus::Pending);
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(
        task.life.state,
        TaskState::Cancelled {
            finished_at: lab.now,
            error: TaskError::new(ErrorKind::Cancelled, "no longer needed"),
        }
    );
    assert_eq!(lab.attempts(id).await, [], "it never began");
}

pub(crate) async fn cancelling_a_running_task_leaves_it_to_its_worker(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    let changed = lab.put(claimed.id, cancel(Some("too late"))).await;
    let task = lab.assert_reads_as(&changed).await;
    assert!(matches!(
        &task.life.state,
        TaskState::InProgress { cancel_requested: Some(why), .. } if why.message == "too late"
    ));
}

pub(crate) async fn a_second_cancel_changes_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let running = lab.running(draft("echo")).await.id;
    let pending = lab.create(draft("echo")).await;
    for (task, status) in [(running, TaskStatus::InProgress), (pending, TaskStatus::Cancelled)] {
        lab.put(task, cancel(Some("no longer needed"))).await;
        let before = lab.task(task).await;
        assert_eq!(
            lab.apply(Change::new(task, cancel(Some("again")))).await,
            ChangeOutcome::Refused {
                refusal: Refusal::AlreadyCancelled,
                status,
            }
        );
        assert_eq!(lab.task(task).await, before);
    }
}

pub(crate) async fn a_pending_task_past_its_deadline_expires(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(with_ttl(1.0)).await;
    lab.advance(SECOND);
    let changed = lab.put(id, TaskEvent::DeadlinePassed).await;
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.life.status(), TaskStatus::Expired);
    assert_eq!(task.started_at, None);
}

pub(crate) async fn a_running_task_past_its_deadline_expires_and_its_attempt_is_recorded(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let claimed = lab.running(with_ttl(1.0)).await;
    lab.advance(SECOND * 4);
    let changed = lab.put(claimed.id, TaskEvent::DeadlinePassed).await;
    lab.assert_reads_as(&changed).await;
    let attempts = lab.attempts(claimed.id).await;
    assert_eq!(attempts[0].outcome, AttemptOutcome::TimedOut);
    assert_eq!(
        (attempts[0].started_at, attempts[0].ended_at),
        (claimed.started_at, lab.now)
    );
    let late = lab.apply(report(&claimed, Ending::Success)).await;
    assert!(matches!(late, ChangeOutcome::Refused { .. }), "the fence is closed");
}

pub(crate) async fn a_deadline_that_lies_ahead_is_refused(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create(with_ttl(1.0)).await;
    let outcome = lab.apply(Change::new(id, TaskEvent::DeadlinePassed)).await;
    assert_eq!(
        outcome,
        ChangeOutcome::Refused {
            refusal: Refusal::Deadline {
                expires_at: lab.now + SECOND
            },
            status: TaskStatus::Pending,
        }
    );
}

async fn lose(lab: &Lab, worker: WorkerId, task: TaskId) -> ChangeOutcome {
    let attempt = lab.task(task).await.life.attempt;
    lab.apply(Change::new(task, TaskEvent::WorkerLost { worker, attempt }))
        .await
}

pub(crate) async fn a_lost_worker_uses_a_loss_and_not_a_retry(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let policy = RetryPolicy {
        max_losses: 2,
        ..retries(1, Backoff::None)
    };
    let id = lab.create_with(draft("echo"), policy).await;
    let worker = lab.echo_worker().await;
    lab.claim_one(worker).await;
    let changed = super::lab::done(lose(&lab, worker, id).await);
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.life.state, TaskState::Pending { due_at: lab.now });
    assert_eq!((task.life.retries_left, task.life.losses_left), (1, 1));
    assert_eq!(lab.attempts(id).await[0].outcome, AttemptOutcome::Lost);
}

pub(crate) async fn the_last_loss_fails_the_task(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let policy = RetryPolicy {
        max_losses: 0,
        ..retries(9, Backoff::None)
    };
    let id = lab.create_with(draft("echo"), policy).await;
    let worker = lab.echo_worker().await;
    lab.claim_one(worker).await;
    super::lab::done(lose(&lab, worker, id).await);
    match lab.task(id).await.life.state {
        TaskState::Failed { error, .. } => assert_eq!(error.kind, ErrorKind::Lost),
        other => panic!("expected it to be failed, not {other:?}"),
    }
}

pub(crate) async fn a_loss_of_another_workers_attempt_is_refused(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    let holder = lab.task(claimed.id).await.worker.expect("claimed");
    let other = lab.echo_worker().await;
    assert_eq!(
        lose(&lab, other, claimed.id).await,
        ChangeOutcome::Refused {
            refusal: Refusal::HeldByAnother { holder },
            status: TaskStatus::InProgress,
        }
    );
}

pub(crate) async fn a_name_that_nobody_offers_uses_a_retry_and_waits(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create_with(draft("unheard.of"), retries(1, Backoff::None)).await;
    let changed = lab
        .put(
            id,
            TaskEvent::NameNotOffered {
                message: "nobody offers it".to_owned(),
            },
        )
        .await;
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!((task.life.attempt, task.life.retries_left), (1, 0));
    assert_eq!(
        (task.worker, task.started_at),
        (None, Some(lab.now)),
        "nobody's attempt"
    );
    assert_eq!(lab.due_at(id).await, lab.now + SECOND);
    let attempt = lab.attempts(id).await.remove(0);
    assert_eq!((attempt.worker, attempt.outcome), (None, AttemptOutcome::NotFound));
    lab.advance(SECOND);
    lab.put(
        id,
        TaskEvent::NameNotOffered {
            message: "nobody offers it".to_owned(),
        },
    )
    .await;
    assert_eq!(lab.status(id).await, TaskStatus::Failed);
}

pub(crate) async fn a_manual_retry_starts_a_new_run_with_everything_renewed(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let policy = RetryPolicy {
        max_losses: 1,
        ..retries(1, Backoff::None)
    };
    let id = lab.create_with(with_ttl(60.0), policy).await;
    let worker = lab.echo_worker().await;
    for _ in 0..2 {
        let claimed = lab.claim_one(worker).await;
        lab.end(&claimed, failure()).await;
    }
    lab.advance(SECOND);
    let ttl = SECOND * 7;
    let changed = lab.put(id, TaskEvent::RetryRequested { ttl }).await;
    assert_eq!(changed.before, TaskStatus::Failed);
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.life.state, TaskState::Pending { due_at: lab.now });
    assert_eq!((task.life.run, task.life.attempt), (2, 2), "the fence only grows");
    assert_eq!((task.life.retries_left, task.life.losses_left), (1, 1));
    assert_eq!((task.life.scheduled_at, task.life.expires_at), (lab.now, lab.now + ttl));
    assert_eq!(task.spec.ttl, ttl);
    assert_eq!(task.output, None);
    let claimed = lab.claim_one(worker).await;
    assert_eq!((claimed.attempt, claimed.run), (3, 2));
    lab.end(&claimed, Ending::Success).await;
    let runs: Vec<u32> = lab.attempts(id).await.iter().map(|attempt| attempt.run).collect();
    assert_eq!(runs, [1, 1, 2]);
}

pub(crate) async fn a_completed_task_cannot_be_retried(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.finished(draft("echo")).await;
    let outcome = lab
        .apply(Change::new(id, TaskEvent::RetryRequested { ttl: SECOND }))
        .await;
    assert_eq!(
        outcome,
        ChangeOutcome::Refused {
            refusal: Refusal::Illegal {
                status: TaskStatus::Completed,
                wanted: "retried"
            },
            status: TaskStatus::Completed,
        }
    );
}

pub(crate) async fn every_refusal_names_the_status(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let pending = lab.create(draft("resize")).await;
    let running = lab.running(draft("echo")).await.id;
    let completed = lab.finished(draft("echo")).await;
    let cancelled = lab.create(draft("echo")).await;
    lab.put(cancelled, cancel(None)).await;
    let worker = lab.echo_worker().await;
    let retry = TaskEvent::RetryRequested { ttl: SECOND };
    for (task, event, status) in [
        (pending, retry, TaskStatus::Pending),
        (running, TaskEvent::Claimed { worker }, TaskStatus::InProgress),
        (completed, cancel(None), TaskStatus::Completed),
        (
            completed,
            TaskEvent::NameNotOffered {
                message: "nobody offers it".to_owned(),
            },
            TaskStatus::Completed,
        ),
        (
            cancelled,
            TaskEvent::Patched(LifePatch::default()),
            TaskStatus::Cancelled,
        ),
        (cancelled, TaskEvent::DeadlinePassed, TaskStatus::Cancelled),
    ] {
        let before = lab.task(task).await;
        match lab.apply(Change::new(task, event)).await {
            ChangeOutcome::Refused { status: named, .. } => assert_eq!(named, status),
            other => panic!("expected a refusal, not {other:?}"),
        }
        assert_eq!(lab.task(task).await, before, "a refusal leaves no trace");
    }
}

pub(crate) async fn several_changes_of_one_task_in_a_batch_see_each_other(store: Arc<dyn Store>) {
    use TaskStatus::{InProgress, Pending};

    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let claim = || Change::new(id, TaskEvent::Claimed { worker });
    let success = Change {
        evidence: evidence("1"),
        ..super::lab::report_of(id, 2, Ending::Success)
    };
    let changes = vec![
        claim(),
        super::lab::report_of(id, 1, failure()),
        claim(),
        success,
        Change::new(id, cancel(None)),
    ];
    let outcomes = lab.apply_all(changes).await;
    let befores: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            ChangeOutcome::Done(changed) => Some(changed.before),
            _ => None,
        })
        .collect();
    assert_eq!(
        befores,
        [Some(Pending), Some(InProgress), Some(Pending), Some(InProgress), None]
    );
    let task = lab.task(id).await;
    assert_eq!((task.life.status(), task.life.version), (TaskStatus::Completed, 5));
    assert_eq!(task.output.expect("given").as_str(), "1");
    assert_eq!(lab.attempts(id).await.len(), 2);
    assert_eq!(lab.store.dispatch(id).await.expect("works"), None);
}

pub(crate) async fn each_change_of_a_batch_stands_alone(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (first, second) = (lab.create(draft("echo")).await, lab.create(draft("echo")).await);
    let changes = vec![
        Change::new(second, cancel(None)),
        Change::new(lab.id(), cancel(None)),
        Change::new(first, TaskEvent::DeadlinePassed),
        Change::new(first, cancel(None)),
    ];
    let outcomes = lab.apply_all(changes).await;
    assert!(matches!(&outcomes[0], ChangeOutcome::Done(changed) if changed.task == second));
    assert_eq!(outcomes[1], ChangeOutcome::NotFound);
    assert!(matches!(outcomes[2], ChangeOutcome::Refused { .. }));
    assert!(matches!(&outcomes[3], ChangeOutcome::Done(changed) if changed.task == first));
}

pub(crate) async fn an_audited_change_is_counted_by_retention(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let audited = |event| Change {
        audit: Some(audit("cancel")),
        ..Change::new(id, event)
    };
    // Two that are made and one that is refused: the audit has the two.
    lab.apply(audited(TaskEvent::Patched(LifePatch::default()))).await;
    lab.apply(audited(cancel(None))).await;
    lab.apply(audited(cancel(None))).await;
    let after = lab.now + SECOND;
    assert_eq!(
        lab.store
            .purge_records(&RecordsBefore::all(after), 100)
            .await
            .expect("works"),
        2
    );
}
