//! What a worker's report does, and what a reader sees afterwards.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::TaskId;
use orchestratum_core::task::{
    AttemptOutcome, Backoff, Ending, ErrorCode, ErrorKind, Refusal, RetryPolicy, TaskError, TaskEvent, TaskState,
    TaskStatus,
};

use super::lab::{LEASE, Lab, SECOND, done, draft, evidence, failure, report, report_of, retries};
use orchestratum_store::{
    ATTEMPTS_PAGE, Attempt, Change, ChangeOutcome, ClaimedTask, LogChunk, LogStream, PAGE_BYTES, Store, TaskLogs,
};

/// The same report with everything an attempt can leave.
fn with_evidence(change: Change) -> Change {
    Change {
        evidence: evidence(r#"{"sum": 6}"#),
        ..change
    }
}

pub(crate) async fn a_success_completes_the_task_with_its_output(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    lab.advance(SECOND);
    let changed = done(lab.apply(with_evidence(report(&claimed, Ending::Success))).await);
    assert_eq!(changed.before, TaskStatus::InProgress);
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.life.state, TaskState::Completed { finished_at: lab.now });
    assert_eq!(task.life.version, 3);
    assert_eq!(task.output.expect("given").as_str(), r#"{"sum": 6}"#);
    assert_eq!(task.started_at, Some(claimed.started_at), "of the newest attempt");
    assert!(task.worker.is_some(), "of the newest attempt");
}

pub(crate) async fn everything_an_attempt_leaves_is_kept(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    lab.advance(SECOND);
    done(lab.apply(with_evidence(report(&claimed, failure()))).await);
    let worker = lab.task(claimed.id).await.worker;
    assert_eq!(
        lab.attempts(claimed.id).await,
        [Attempt {
            attempt: 1,
            run: 1,
            worker,
            outcome: AttemptOutcome::Failed,
            error: Some(
                TaskError::new(ErrorKind::Failed, "Traceback: it is\nbroken").with_code(ErrorCode::new("broken").ok())
            ),
            started_at: claimed.started_at,
            ended_at: lab.now,
            exit_code: Some(0),
            peak_memory_bytes: Some(5_000_000_000),
        }]
    );
    assert_eq!(
        lab.task(claimed.id).await.output,
        None,
        "only a success leaves an output"
    );
}

pub(crate) async fn logs_are_read_by_attempt_and_stream(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    for _ in 0..2 {
        let claimed = lab.claim_one(worker).await;
        done(lab.apply(with_evidence(report(&claimed, failure()))).await);
    }
    let read = async |attempt, stream| {
        let logs = lab.store.logs(id, attempt, stream).await.expect("works");
        assert!(!logs.earlier_left_out);
        logs.chunks
            .into_iter()
            .map(|stored| (stored.attempt, stored.chunk.sequence, stored.chunk.text))
            .collect::<Vec<_>>()
    };
    let all = |attempt| {
        [
            (attempt, 0, "first\n".to_owned()),
            (attempt, 1, "a warning: ü ✓\n".to_owned()),
            (attempt, 2, "second\n".to_owned()),
        ]
    };
    assert_eq!(read(None, None).await, [all(1), all(2)].concat());
    assert_eq!(read(Some(2), None).await, all(2));
    assert_eq!(read(Some(1), Some(LogStream::Stderr)).await, all(1)[1..2]);
    assert_eq!(read(Some(3), None).await, []);
}

/// The numbers of a task's attempts, page by page.
async fn pages(lab: &Lab, id: TaskId) -> Vec<Vec<u32>> {
    let (mut pages, mut after) = (Vec::new(), Some(0));
    while let Some(last) = after {
        let page = lab.store.attempts(id, last).await.expect("works");
        pages.push(page.items.iter().map(|attempt| attempt.attempt).collect());
        after = page.next;
    }
    pages
}

pub(crate) async fn a_page_of_attempts_ends_before_their_errors_are_too_large(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(3, Backoff::None)).await;
    assert_eq!(pages(&lab, id).await, [[0; 0]]);
    let worker = lab.echo_worker().await;
    for size in [PAGE_BYTES / 3, PAGE_BYTES / 3, PAGE_BYTES / 3 * 2, PAGE_BYTES + 1] {
        let claimed = lab.claim_one(worker).await;
        let message = "x".repeat(size);
        let retryable = true;
        lab.end(
            &claimed,
            Ending::Failed {
                message,
                retryable,
                code: None,
            },
        )
        .await;
    }
    let expected = [vec![1, 2], vec![3], vec![4]];
    assert_eq!(
        pages(&lab, id).await,
        expected,
        "one too large for a page is one by itself"
    );
}

pub(crate) async fn a_page_of_attempts_has_a_bounded_number_of_them(store: Arc<dyn Store>) {
    let most = u32::try_from(ATTEMPTS_PAGE).expect("a small number");
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1_000, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let attempt = |number| {
        [
            Change::new(id, TaskEvent::Claimed { worker }),
            report_of(id, number, failure()),
        ]
    };
    let mut changes: Vec<Change> = (1..=most + 1).flat_map(attempt).collect();
    changes.push(Change::new(id, TaskEvent::RetryRequested { ttl: LEASE }));
    changes.extend(attempt(most + 2));
    for outcome in lab.apply_all(changes).await {
        done(outcome);
    }
    let expected = [(1..=most).collect(), vec![most + 1, most + 2]];
    assert_eq!(pages(&lab, id).await, expected);
}

/// The task ended with this error.
async fn assert_failed(lab: &Lab, task: &ClaimedTask, kind: ErrorKind) {
    match lab.task(task.id).await.life.state {
        TaskState::Failed { finished_at, error } => {
            assert_eq!((finished_at, error.kind), (lab.now, kind));
        }
        other => panic!("expected it to be failed, not {other:?}"),
    }
}

pub(crate) async fn logs_that_are_too_large_together_are_those_of_the_newest_attempts(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(3, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    for size in [PAGE_BYTES / 2, PAGE_BYTES / 2, PAGE_BYTES / 2, PAGE_BYTES + 1] {
        let claimed = lab.claim_one(worker).await;
        let mut change = report(&claimed, failure());
        change.evidence.logs = vec![LogChunk {
            stream: LogStream::Stdout,
            sequence: 0,
            text: "x".repeat(size),
        }];
        done(lab.apply(change).await);
        let logs = lab.store.logs(id, None, None).await.expect("works");
        let attempts: Vec<u32> = logs.chunks.iter().map(|stored| stored.attempt).collect();
        let (expected, left_out) = match claimed.attempt {
            1 => (vec![1], false),
            2 => (vec![1, 2], false),
            3 => (vec![2, 3], true),
            newest => (vec![newest], true),
        };
        assert_eq!((attempts, logs.earlier_left_out), (expected, left_out));
    }
    let first = lab.store.logs(id, Some(1), None).await.expect("works");
    assert_eq!((first.chunks.len(), first.earlier_left_out), (1, false));
}

pub(crate) async fn a_failure_without_retries_fails_the_task(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    let changed = lab.end(&claimed, failure()).await;
    lab.assert_reads_as(&changed).await;
    assert_failed(&lab, &claimed, ErrorKind::Failed).await;
}

pub(crate) async fn a_task_with_two_retries_is_tried_three_times(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(2, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    for left in [1, 0] {
        let claimed = lab.claim_one(worker).await;
        let changed = lab.end(&claimed, failure()).await;
        let task = lab.assert_reads_as(&changed).await;
        assert_eq!(
            (task.life.status(), task.life.retries_left),
            (TaskStatus::Pending, left)
        );
    }
    let claimed = lab.claim_one(worker).await;
    lab.end(&claimed, failure()).await;
    assert_failed(&lab, &claimed, ErrorKind::Failed).await;
    let numbers: Vec<u32> = lab.attempts(id).await.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

pub(crate) async fn a_failed_attempt_waits_for_its_back_off(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let backoff = Backoff::Exponential {
        delay: SECOND,
        max_delay: SECOND * 3,
        jitter: false,
    };
    let id = lab.create_with(draft("echo"), retries(3, backoff)).await;
    let worker = lab.echo_worker().await;
    for wait in [1, 2, 3] {
        let claimed = lab.claim_one(worker).await;
        let changed = lab.end(&claimed, failure()).await;
        lab.assert_reads_as(&changed).await;
        assert_eq!(lab.due_at(id).await, lab.now + SECOND * wait);
        assert!(lab.claim(worker).await.is_empty(), "not before its time");
        lab.advance(SECOND * wait);
        assert_eq!(lab.store.release_due(lab.now, 10).await.expect("works").len(), 1);
    }
}

pub(crate) async fn a_failure_for_good_is_not_retried(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.create_with(draft("echo"), retries(5, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    let ending = Ending::Failed {
        message: "bad input".to_owned(),
        retryable: false,
        code: None,
    };
    lab.end(&claimed, ending).await;
    assert_failed(&lab, &claimed, ErrorKind::Failed).await;
}

pub(crate) async fn an_output_that_cannot_be_stored_fails_the_task(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.create_with(draft("echo"), retries(5, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    let message = "too large".to_owned();
    lab.end(&claimed, Ending::OutputNotStorable { message }).await;
    assert_failed(&lab, &claimed, ErrorKind::OutputNotStorable).await;
    assert_eq!(lab.attempts(claimed.id).await[0].outcome, AttemptOutcome::Failed);
}

/// An ending that uses the one retry, and then fails the task.
async fn assert_uses_a_retry(store: Arc<dyn Store>, ending: Ending, outcome: AttemptOutcome, kind: ErrorKind) {
    let mut lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    let changed = lab.end(&claimed, ending.clone()).await;
    assert_eq!(lab.assert_reads_as(&changed).await.life.retries_left, 0);
    let wait = lab.due_at(id).await.saturating_since(lab.now);
    lab.advance(wait);
    lab.store.release_due(lab.now, 1).await.expect("works");
    let claimed = lab.claim_one(worker).await;
    lab.end(&claimed, ending).await;
    assert_failed(&lab, &claimed, kind).await;
    let attempts = lab.attempts(id).await;
    assert!(
        attempts.iter().all(|attempt| attempt.outcome == outcome),
        "{attempts:?}"
    );
}

pub(crate) async fn out_of_memory_uses_a_retry(store: Arc<dyn Store>) {
    let message = "64 MiB".to_owned();
    let ending = Ending::OutOfMemory { message };
    assert_uses_a_retry(store, ending, AttemptOutcome::OutOfMemory, ErrorKind::OutOfMemory).await;
}

pub(crate) async fn an_attempt_that_timed_out_uses_a_retry(store: Arc<dyn Store>) {
    let message = "20 s".to_owned();
    let ending = Ending::TimedOut { message };
    assert_uses_a_retry(store, ending, AttemptOutcome::TimedOut, ErrorKind::TimedOut).await;
}

pub(crate) async fn an_attempt_without_handler_waits_at_least_a_second(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    let message = "no handler".to_owned();
    let changed = lab.end(&claimed, Ending::NotFound { message }).await;
    lab.assert_reads_as(&changed).await;
    assert_eq!(lab.due_at(id).await, lab.now + SECOND);
    assert_eq!(lab.attempts(id).await[0].outcome, AttemptOutcome::NotFound);
}

pub(crate) async fn an_expired_attempt_expires_the_task(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.create_with(draft("echo"), retries(5, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    let message = "killed at the deadline".to_owned();
    let changed = lab.end(&claimed, Ending::Expired { message }).await;
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.life.status(), TaskStatus::Expired);
    assert_eq!(lab.attempts(claimed.id).await[0].outcome, AttemptOutcome::TimedOut);
}

pub(crate) async fn a_released_attempt_uses_no_retry(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    let message = "drain".to_owned();
    let changed = lab.end(&claimed, Ending::Released { message }).await;
    let task = lab.assert_reads_as(&changed).await;
    assert_eq!(task.life.state, TaskState::Pending { due_at: lab.now });
    let policy = RetryPolicy::DEFAULT;
    assert_eq!(
        (task.life.retries_left, task.life.losses_left),
        (policy.max_retries, policy.max_losses)
    );
    assert_eq!(lab.attempts(claimed.id).await[0].outcome, AttemptOutcome::Released);
}

pub(crate) async fn a_cancelled_attempt_cancels_the_task_for_the_reason_that_was_given(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for (reason, told) in [(Some("too late"), "too late"), (None, "cancelled on request")] {
        let claimed = lab.running(draft("echo")).await;
        let reason = reason.map(str::to_owned);
        lab.put(claimed.id, TaskEvent::CancelRequested { reason }).await;
        let message = "stopped".to_owned();
        let changed = lab.end(&claimed, Ending::Cancelled { message }).await;
        let task = lab.assert_reads_as(&changed).await;
        let error = TaskError::new(ErrorKind::Cancelled, told);
        assert_eq!(lab.attempts(claimed.id).await[0].error.as_ref(), Some(&error));
        assert_eq!(
            task.life.state,
            TaskState::Cancelled {
                finished_at: lab.now,
                error,
            }
        );
    }
}

pub(crate) async fn a_success_before_the_kill_counts_although_a_cancel_was_asked_for(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    lab.put(claimed.id, TaskEvent::CancelRequested { reason: None }).await;
    lab.end(&claimed, Ending::Success).await;
    assert_eq!(lab.status(claimed.id).await, TaskStatus::Completed);
}

pub(crate) async fn a_failure_after_a_cancel_is_not_retried(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.create_with(draft("echo"), retries(5, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    lab.put(claimed.id, TaskEvent::CancelRequested { reason: None }).await;
    lab.end(&claimed, failure()).await;
    assert_eq!(lab.status(claimed.id).await, TaskStatus::Cancelled);
}

pub(crate) async fn a_report_of_an_old_attempt_is_refused_and_leaves_no_trace(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let first = lab.running(draft("echo")).await;
    let message = "drain".to_owned();
    lab.end(&first, Ending::Released { message }).await;
    let worker = lab.echo_worker().await;
    let second = lab.claim_one(worker).await;
    let before = (lab.task(first.id).await, lab.attempts(first.id).await);
    let outcome = lab.apply(with_evidence(report(&first, Ending::Success))).await;
    assert_eq!(
        outcome,
        ChangeOutcome::Refused {
            refusal: Refusal::StaleAttempt {
                reported: 1,
                current: 2
            },
            status: TaskStatus::InProgress,
        }
    );
    assert_eq!((lab.task(first.id).await, lab.attempts(first.id).await), before);
    assert_eq!(
        lab.store.logs(first.id, None, None).await.expect("works"),
        TaskLogs::default()
    );
    lab.end(&second, Ending::Success).await;
}

pub(crate) async fn the_very_same_report_again_is_already_reported(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let first = lab.claim_one(worker).await;
    lab.end(&first, failure()).await;
    assert_eq!(
        lab.apply(report(&first, failure())).await,
        ChangeOutcome::AlreadyReported { saga: None }
    );
    let second = lab.claim_one(worker).await;
    assert_eq!(
        lab.apply(report(&first, failure())).await,
        ChangeOutcome::AlreadyReported { saga: None },
        "also when the task has moved on"
    );
    done(lab.apply(with_evidence(report(&second, Ending::Success))).await);
    let before = lab.task(id).await;
    assert_eq!(
        lab.apply(with_evidence(report(&second, Ending::Success))).await,
        ChangeOutcome::AlreadyReported { saga: None }
    );
    assert_eq!(lab.task(id).await, before);
    assert_eq!(lab.attempts(id).await.len(), 2);
}

pub(crate) async fn the_very_same_report_twice_in_one_batch_is_already_reported(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for ending in [Ending::Success, failure()] {
        let claimed = lab.running(draft("echo")).await;
        let changes = vec![report(&claimed, ending.clone()), report(&claimed, ending)];
        let outcomes = lab.apply_all(changes).await;
        assert!(matches!(outcomes[0], ChangeOutcome::Done(_)), "{outcomes:?}");
        assert_eq!(outcomes[1], ChangeOutcome::AlreadyReported { saga: None });
    }
}

pub(crate) async fn another_ending_of_a_reported_attempt_is_refused(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    lab.end(&claimed, Ending::Success).await;
    let outcome = lab.apply(report(&claimed, failure())).await;
    assert_eq!(
        outcome,
        ChangeOutcome::Refused {
            refusal: Refusal::StaleAttempt {
                reported: 1,
                current: 1
            },
            status: TaskStatus::Completed,
        }
    );
    let outcome = lab.apply(report_of(claimed.id, 2, Ending::Success)).await;
    assert!(
        matches!(outcome, ChangeOutcome::Refused { .. }),
        "an attempt that never was"
    );
}

pub(crate) async fn of_two_reports_at_once_one_counts(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    for _ in 0..20 {
        lab.create(draft("echo")).await;
    }
    for claimed in lab.claim(worker).await {
        let race = [Ending::Success, failure()].map(|ending| {
            let (store, now) = (Arc::clone(&lab.store), lab.now);
            let changes = [report(&claimed, ending)];
            tokio::spawn(async move { store.apply(&changes, now).await.expect("works").remove(0) })
        });
        let outcomes: Vec<_> = futures::future::join_all(race)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let counted = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, ChangeOutcome::Done(_)))
            .count();
        assert_eq!(counted, 1, "{outcomes:?}");
        assert_eq!(lab.attempts(claimed.id).await.len(), 1);
    }
}

pub(crate) async fn fix_13_a_worker_that_died_and_reports_late_is_refused(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    let worker = lab.task(claimed.id).await.worker.expect("claimed");
    lab.advance(LEASE + Duration::from_micros(1));
    lab.store.mark_dead(lab.now).await.expect("works");
    let attempt = claimed.attempt;
    let changed = lab.put(claimed.id, TaskEvent::WorkerLost { worker, attempt }).await;
    lab.assert_reads_as(&changed).await;
    let outcome = lab.apply(report(&claimed, Ending::Success)).await;
    assert!(matches!(outcome, ChangeOutcome::Refused { .. }), "{outcome:?}");
    assert_eq!(lab.attempts(claimed.id).await[0].outcome, AttemptOutcome::Lost);
}
