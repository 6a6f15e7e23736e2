//! Every status with every event, against a table written out by hand.

use std::time::Duration;

use orchestratum_core::task::{
    Backoff, Ending, ErrorKind, HANDED_BACK_FREELY, LifePatch, Refusal, Report, RetryPolicy, TaskError, TaskEvent,
    TaskLife, TaskState, TaskStatus, transition,
};
use orchestratum_core::{Timestamp, WorkerId};
use uuid::Uuid;

const HOLDER: WorkerId = WorkerId(Uuid::from_u128(1));
const ANOTHER: WorkerId = WorkerId(Uuid::from_u128(2));
const CREATED: Timestamp = Timestamp::from_micros(1_000_000);
/// After the task is due and before its deadline.
const NOW: Timestamp = Timestamp::from_micros(20_000_000);
/// After its deadline.
const LATE: Timestamp = Timestamp::from_micros(500_000_000);
const TTL: Duration = Duration::from_secs(100);

const POLICY: RetryPolicy = RetryPolicy {
    max_retries: 2,
    max_losses: 2,
    backoff: Backoff::Fixed {
        delay: Duration::from_secs(3),
    },
};

/// What the table says: the status after, or why nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Is(TaskStatus),
    Illegal,
    Stale,
    HeldByAnother,
    NotDue,
    Deadline,
    AlreadyCancelled,
}

use TaskStatus::{Cancelled, Completed, Expired, Failed, InProgress, Pending};
use Then::{AlreadyCancelled, Deadline, HeldByAnother, Illegal, Is, NotDue, Stale};

fn life(status: TaskStatus) -> TaskLife {
    let error = |kind| TaskError::new(kind, "before");
    let finished_at = NOW;
    let state = match status {
        Pending => TaskState::Pending { due_at: CREATED },
        InProgress => TaskState::InProgress {
            worker: HOLDER,
            started_at: CREATED,
            cancel_requested: None,
        },
        Completed => TaskState::Completed { finished_at },
        Failed => TaskState::Failed {
            finished_at,
            error: error(ErrorKind::Failed),
        },
        Expired => TaskState::Expired {
            finished_at,
            error: error(ErrorKind::Expired),
        },
        Cancelled => TaskState::Cancelled {
            finished_at,
            error: error(ErrorKind::Cancelled),
        },
    };
    TaskLife {
        state,
        attempt: 3,
        ..TaskLife::new(POLICY, CREATED, TTL)
    }
}

/// The same, running, and a caller wants it stopped.
fn cancelling() -> TaskLife {
    TaskLife {
        state: TaskState::InProgress {
            worker: HOLDER,
            started_at: CREATED,
            cancel_requested: Some(TaskError::new(ErrorKind::Cancelled, "because")),
        },
        ..life(InProgress)
    }
}

fn exhausted(life: TaskLife) -> TaskLife {
    TaskLife {
        retries_left: 0,
        losses_left: 0,
        ..life
    }
}

fn message() -> String {
    "why".to_owned()
}

fn reported(attempt: u32, ending: Ending) -> TaskEvent {
    TaskEvent::Reported(Report {
        attempt,
        ending,
        chance: 0.5,
    })
}

fn failed(retryable: bool) -> Ending {
    Ending::Failed {
        message: message(),
        retryable,
        code: None,
    }
}

fn lost(worker: WorkerId, attempt: u32) -> TaskEvent {
    TaskEvent::WorkerLost { worker, attempt }
}

fn claimed() -> TaskEvent {
    TaskEvent::Claimed { worker: ANOTHER }
}

fn not_offered() -> TaskEvent {
    TaskEvent::NameNotOffered {
        message: "nobody offers it".to_owned(),
    }
}

fn cancel() -> TaskEvent {
    TaskEvent::CancelRequested { reason: None }
}

fn retry() -> TaskEvent {
    TaskEvent::RetryRequested { ttl: TTL }
}

fn patched(patch: LifePatch) -> TaskEvent {
    TaskEvent::Patched(patch)
}

fn seen(life: &TaskLife, event: &TaskEvent, now: Timestamp) -> Then {
    match transition(life, &POLICY, event, now) {
        Ok(transition) => Is(transition.next.status()),
        Err(Refusal::Illegal { status, .. }) => {
            assert_eq!(status, life.status());
            Illegal
        }
        Err(Refusal::StaleAttempt { .. }) => Stale,
        Err(Refusal::HeldByAnother { .. }) => HeldByAnother,
        Err(Refusal::NotDue { .. }) => NotDue,
        Err(Refusal::Deadline { .. }) => Deadline,
        Err(Refusal::AlreadyCancelled) => AlreadyCancelled,
    }
}

fn walk(life: &TaskLife, table: &[(TaskEvent, Timestamp, Then)]) {
    for (event, now, then) in table {
        assert_eq!(
            seen(life, event, *now),
            *then,
            "{} and {event:?} at {now}",
            life.status()
        );
    }
}

#[test]
fn every_event_meets_a_pending_task() {
    walk(
        &life(Pending),
        &[
            (claimed(), NOW, Is(InProgress)),
            (claimed(), Timestamp::EPOCH, NotDue),
            (claimed(), LATE, Deadline),
            (reported(3, Ending::Success), NOW, Stale),
            (reported(2, Ending::Success), NOW, Stale),
            (lost(HOLDER, 3), NOW, Stale),
            (TaskEvent::DeadlinePassed, NOW, Deadline),
            (TaskEvent::DeadlinePassed, LATE, Is(Expired)),
            (not_offered(), NOW, Is(Pending)),
            (not_offered(), LATE, Deadline),
            (cancel(), NOW, Is(Cancelled)),
            (retry(), NOW, Illegal),
            (patched(LifePatch::default()), NOW, Is(Pending)),
        ],
    );
    walk(&exhausted(life(Pending)), &[(not_offered(), NOW, Is(Failed))]);
}

#[test]
fn every_report_meets_a_running_task() {
    let why = message;
    walk(
        &life(InProgress),
        &[
            (reported(2, Ending::Success), NOW, Stale),
            (reported(4, Ending::Success), NOW, Stale),
            (reported(3, Ending::Success), NOW, Is(Completed)),
            (reported(3, Ending::Success), LATE, Is(Completed)),
            (reported(3, failed(true)), NOW, Is(Pending)),
            (reported(3, failed(true)), LATE, Is(Expired)),
            (reported(3, failed(false)), NOW, Is(Failed)),
            (
                reported(3, Ending::OutputNotStorable { message: why() }),
                NOW,
                Is(Failed),
            ),
            (reported(3, Ending::CompileError { message: why() }), NOW, Is(Failed)),
            (
                reported(3, Ending::UnknownEnvironment { message: why() }),
                NOW,
                Is(Failed),
            ),
            (reported(3, Ending::NotGranted { message: why() }), NOW, Is(Failed)),
            (reported(3, Ending::OutOfMemory { message: why() }), NOW, Is(Pending)),
            (reported(3, Ending::NotFound { message: why() }), NOW, Is(Pending)),
            (reported(3, Ending::TimedOut { message: why() }), NOW, Is(Pending)),
            (reported(3, Ending::Expired { message: why() }), NOW, Is(Expired)),
            (reported(3, Ending::Cancelled { message: why() }), NOW, Is(Cancelled)),
            (reported(3, Ending::Released { message: why() }), NOW, Is(Pending)),
            (reported(3, Ending::Released { message: why() }), LATE, Is(Expired)),
        ],
    );
    walk(
        &exhausted(life(InProgress)),
        &[
            (reported(3, failed(true)), NOW, Is(Failed)),
            (reported(3, Ending::OutOfMemory { message: why() }), NOW, Is(Failed)),
            (reported(3, Ending::NotFound { message: why() }), NOW, Is(Failed)),
            (reported(3, Ending::TimedOut { message: why() }), NOW, Is(Failed)),
            (reported(3, Ending::Released { message: why() }), NOW, Is(Pending)),
            (lost(HOLDER, 3), NOW, Is(Failed)),
        ],
    );
}

#[test]
fn every_other_event_meets_a_running_task() {
    walk(
        &life(InProgress),
        &[
            (claimed(), NOW, Illegal),
            (lost(HOLDER, 3), NOW, Is(Pending)),
            (lost(HOLDER, 3), LATE, Is(Expired)),
            (lost(HOLDER, 2), NOW, Stale),
            (lost(ANOTHER, 3), NOW, HeldByAnother),
            (TaskEvent::DeadlinePassed, NOW, Deadline),
            (TaskEvent::DeadlinePassed, LATE, Is(Expired)),
            (not_offered(), NOW, Illegal),
            (cancel(), NOW, Is(InProgress)),
            (retry(), NOW, Illegal),
            (patched(LifePatch::default()), NOW, Is(InProgress)),
            (
                patched(LifePatch {
                    ttl: Some(TTL),
                    ..LifePatch::default()
                }),
                NOW,
                Is(InProgress),
            ),
            (
                patched(LifePatch {
                    max_retries: Some(1),
                    ..LifePatch::default()
                }),
                NOW,
                Illegal,
            ),
            (
                patched(LifePatch {
                    scheduled_at: Some(NOW),
                    ..LifePatch::default()
                }),
                NOW,
                Illegal,
            ),
            (
                patched(LifePatch {
                    touches_what_runs: true,
                    ..LifePatch::default()
                }),
                NOW,
                Illegal,
            ),
        ],
    );
}

#[test]
fn nothing_but_success_and_expiry_survives_a_cancel_request() {
    let why = message;
    for life in [cancelling(), exhausted(cancelling())] {
        walk(
            &life,
            &[
                (reported(3, Ending::Success), NOW, Is(Completed)),
                (reported(3, Ending::Expired { message: why() }), LATE, Is(Expired)),
                (TaskEvent::DeadlinePassed, LATE, Is(Expired)),
                (reported(3, failed(true)), NOW, Is(Cancelled)),
                (reported(3, failed(false)), NOW, Is(Cancelled)),
                (
                    reported(3, Ending::OutputNotStorable { message: why() }),
                    NOW,
                    Is(Cancelled),
                ),
                (reported(3, Ending::CompileError { message: why() }), NOW, Is(Cancelled)),
                (
                    reported(3, Ending::UnknownEnvironment { message: why() }),
                    NOW,
                    Is(Cancelled),
                ),
                (reported(3, Ending::NotGranted { message: why() }), NOW, Is(Cancelled)),
                (reported(3, Ending::OutOfMemory { message: why() }), NOW, Is(Cancelled)),
                (reported(3, Ending::NotFound { message: why() }), NOW, Is(Cancelled)),
                (reported(3, Ending::TimedOut { message: why() }), NOW, Is(Cancelled)),
                (reported(3, Ending::Cancelled { message: why() }), NOW, Is(Cancelled)),
                (reported(3, Ending::Released { message: why() }), NOW, Is(Cancelled)),
                (lost(HOLDER, 3), NOW, Is(Cancelled)),
                (cancel(), NOW, AlreadyCancelled),
            ],
        );
    }
}

#[test]
fn every_event_meets_a_task_that_is_over() {
    for status in [Completed, Failed, Expired, Cancelled] {
        let again = if status == Completed { Illegal } else { Is(Pending) };
        let cancelled = if status == Cancelled { AlreadyCancelled } else { Illegal };
        walk(
            &life(status),
            &[
                (claimed(), NOW, Illegal),
                (reported(3, Ending::Success), NOW, Stale),
                (reported(2, Ending::Success), NOW, Stale),
                (lost(HOLDER, 3), NOW, Stale),
                (TaskEvent::DeadlinePassed, LATE, Illegal),
                (not_offered(), NOW, Illegal),
                (cancel(), NOW, cancelled),
                (retry(), NOW, again),
                (patched(LifePatch::default()), NOW, Illegal),
            ],
        );
    }
}

#[test]
fn a_manual_retry_begins_no_earlier_than_the_end_of_the_run_before() {
    let sent_long_ago = Timestamp::from_micros(5_000_000);
    let next = transition(&life(Failed), &POLICY, &retry(), sent_long_ago)
        .expect("a failed task can be retried")
        .next;
    assert_eq!(next.state, TaskState::Pending { due_at: NOW });
    assert_eq!((next.run, next.attempt), (2, 3));
    assert_eq!((next.scheduled_at, next.expires_at), (NOW, NOW + TTL));
    assert_eq!((next.retries_left, next.losses_left), (2, 2));
}

#[test]
fn a_task_that_is_handed_back_again_and_again_comes_to_an_end() {
    let handed_back = |life: &TaskLife| {
        let event = reported(life.attempt, Ending::Released { message: message() });
        transition(life, &POLICY, &event, NOW).expect("it runs").next
    };
    let mut freely = life(InProgress);
    freely.attempt = HANDED_BACK_FREELY;
    let next = handed_back(&freely);
    assert_eq!((next.status(), next.losses_left), (Pending, POLICY.max_losses));
    let mut at_a_cost = TaskLife {
        attempt: HANDED_BACK_FREELY + 1,
        ..freely
    };
    for left in (0..POLICY.max_losses).rev() {
        let next = handed_back(&at_a_cost);
        assert_eq!((next.status(), next.losses_left), (Pending, left));
        at_a_cost.losses_left = left;
    }
    let over = handed_back(&at_a_cost);
    let TaskState::Failed { error, .. } = &over.state else {
        panic!("{over:?}")
    };
    assert_eq!(error.kind, ErrorKind::Lost);
}
