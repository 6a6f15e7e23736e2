//! What holds over any sequence of events, legal or not.

use std::time::Duration;

use orchestratum_core::task::{
    Backoff, Ending, ErrorCode, LifePatch, Report, RetryPolicy, TaskEvent, TaskLife, TaskState, TaskStatus, transition,
};
use orchestratum_core::{Timestamp, WorkerId};
use proptest::prelude::*;
use uuid::Uuid;

fn worker() -> impl Strategy<Value = WorkerId> {
    (1_u128..4).prop_map(|number| WorkerId(Uuid::from_u128(number)))
}

fn ending() -> impl Strategy<Value = Ending> {
    let message = String::new;
    prop_oneof![
        Just(Ending::Success),
        any::<(bool, bool)>().prop_map(move |(retryable, has_code)| Ending::Failed {
            message: message(),
            retryable,
            code: has_code.then(|| ErrorCode::new("broken").expect("a code")),
        }),
        Just(Ending::OutputNotStorable { message: message() }),
        Just(Ending::CompileError { message: message() }),
        Just(Ending::UnknownEnvironment { message: message() }),
        Just(Ending::NotGranted { message: message() }),
        Just(Ending::OutOfMemory { message: message() }),
        Just(Ending::NotFound { message: message() }),
        Just(Ending::TimedOut { message: message() }),
        Just(Ending::Expired { message: message() }),
        Just(Ending::Cancelled { message: message() }),
        Just(Ending::Released { message: message() }),
    ]
}

fn seconds(most: u64) -> impl Strategy<Value = Duration> {
    (0..=most).prop_map(Duration::from_secs)
}

fn event() -> impl Strategy<Value = TaskEvent> {
    prop_oneof![
        4 => worker().prop_map(|worker| TaskEvent::Claimed { worker }),
        6 => (0_u32..8, ending(), 0.0_f64..1.0).prop_map(|(attempt, ending, chance)| {
            TaskEvent::Reported(Report { attempt, ending, chance })
        }),
        2 => (worker(), 0_u32..8).prop_map(|(worker, attempt)| TaskEvent::WorkerLost { worker, attempt }),
        1 => Just(TaskEvent::DeadlinePassed),
        1 => Just(TaskEvent::NameNotOffered { message: String::new() }),
        1 => Just(TaskEvent::CancelRequested { reason: None }),
        1 => seconds(60).prop_map(|ttl| TaskEvent::RetryRequested { ttl }),
        1 => (proptest::option::of(seconds(60)), proptest::option::of(0_u16..5), any::<bool>()).prop_map(
            |(ttl, max_retries, touches_what_runs)| {
                TaskEvent::Patched(LifePatch { ttl, max_retries, scheduled_at: None, touches_what_runs })
            }
        ),
    ]
}

fn policy() -> impl Strategy<Value = RetryPolicy> {
    (0_u16..4, 0_u16..4, seconds(5)).prop_map(|(max_retries, max_losses, delay)| RetryPolicy {
        max_retries,
        max_losses,
        backoff: Backoff::Fixed { delay },
    })
}

/// A report or a rescue that is meant for the attempt that is going on, half of the time.
fn aim(event: TaskEvent, life: &TaskLife) -> TaskEvent {
    match (event, &life.state) {
        (TaskEvent::Reported(report), _) if report.attempt % 2 == 0 => TaskEvent::Reported(Report {
            attempt: life.attempt,
            ..report
        }),
        (TaskEvent::WorkerLost { attempt, .. }, TaskState::InProgress { worker, .. }) if attempt % 2 == 0 => {
            TaskEvent::WorkerLost {
                worker: *worker,
                attempt: life.attempt,
            }
        }
        (event, _) => event,
    }
}

fn check(
    before: &TaskLife,
    policy: &RetryPolicy,
    event: &TaskEvent,
    now: Timestamp,
) -> Result<TaskLife, TestCaseError> {
    let Ok(done) = transition(before, policy, event, now) else {
        return Ok(before.clone());
    };
    let after = &done.next;
    let starts = matches!(event, TaskEvent::Claimed { .. } | TaskEvent::NameNotOffered { .. });
    let reruns = matches!(event, TaskEvent::RetryRequested { .. });
    let patches = matches!(event, TaskEvent::Patched(_));

    prop_assert_eq!(
        after.attempt,
        before.attempt + u32::from(starts),
        "the fence only grows, by one"
    );
    prop_assert_eq!(
        after.run,
        before.run + u32::from(reruns),
        "only a manual retry begins a run"
    );
    prop_assert_eq!(after.version, before.version + 1, "every change is a new version");
    if before.status().is_terminal() {
        prop_assert!(
            reruns && before.status() != TaskStatus::Completed,
            "{:?} left a terminal state",
            event
        );
        prop_assert_eq!(
            (after.retries_left, after.losses_left),
            (policy.max_retries, policy.max_losses)
        );
    } else if !patches {
        prop_assert!(after.retries_left <= before.retries_left && after.losses_left <= before.losses_left);
        let used =
            u32::from(before.retries_left - after.retries_left) + u32::from(before.losses_left - after.losses_left);
        prop_assert!(used <= 1, "one event uses one budget at most");
    }
    let was_running = before.status() == TaskStatus::InProgress;
    let runs = after.status() == TaskStatus::InProgress;
    let nobody_offered_it = matches!(event, TaskEvent::NameNotOffered { .. });
    prop_assert_eq!(
        done.ended.is_some(),
        (was_running && !runs) || nobody_offered_it,
        "each end is recorded, once"
    );
    if let Some(ended) = &done.ended {
        prop_assert_eq!((ended.attempt, ended.run), (after.attempt, before.run));
        prop_assert_eq!(ended.ended_at, now);
    }
    if let TaskState::InProgress {
        cancel_requested: Some(_),
        ..
    } = before.state
    {
        prop_assert!(
            after.status() != TaskStatus::Pending,
            "a cancelled attempt is never retried"
        );
    }
    if let TaskState::Pending { due_at } = after.state
        && was_running
    {
        prop_assert!(due_at >= now, "the next attempt begins after the end of this one");
    }
    Ok(after.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_events_keeps_the_rules(
        policy in policy(),
        ttl in seconds(120),
        steps in proptest::collection::vec((event(), seconds(10)), 1..60),
    ) {
        let mut now = Timestamp::EPOCH;
        let mut life = TaskLife::new(policy, now, ttl);
        let (mut failures, mut allowed) = (0_u32, u32::from(policy.max_retries) + 1);
        for (event, wait) in steps {
            now = now + wait;
            let event = aim(event, &life);
            let before = life.clone();
            life = check(&before, &policy, &event, now)?;
            if life.version == before.version {
                continue;
            }
            match &event {
                TaskEvent::RetryRequested { .. } => (failures, allowed) = (0, u32::from(policy.max_retries) + 1),
                TaskEvent::Patched(patch) => {
                    allowed = patch.max_retries.map_or(allowed, |retries| failures + u32::from(retries) + 1);
                }
                TaskEvent::NameNotOffered { .. } => failures += 1,
                TaskEvent::Reported(report) if matches!(
                    report.ending,
                    Ending::Failed { .. } | Ending::OutOfMemory { .. } | Ending::NotFound { .. } | Ending::TimedOut { .. }
                ) => failures += 1,
                _ => {}
            }
            prop_assert!(failures <= allowed, "{} attempts of a budget of {}", failures, allowed);
        }
    }

    #[test]
    fn the_same_report_twice_is_refused_the_second_time(ending in ending(), chance in 0.0_f64..1.0) {
        let policy = RetryPolicy::DEFAULT;
        let now = Timestamp::EPOCH;
        let holder = WorkerId(Uuid::from_u128(1));
        let created = TaskLife::new(policy, now, Duration::from_secs(60));
        let claimed = transition(&created, &policy, &TaskEvent::Claimed { worker: holder }, now)
            .expect("it is due")
            .next;
        let report = TaskEvent::Reported(Report { attempt: 1, ending, chance });
        let ended = transition(&claimed, &policy, &report, now).expect("the fence is open").next;
        prop_assert!(transition(&ended, &policy, &report, now).is_err());
    }
}
