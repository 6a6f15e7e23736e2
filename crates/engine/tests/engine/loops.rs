//! The background loops: what a dead process or a lost message left undone. The clock is moved by the test.

use std::time::Duration;

use crate::common::{LEASE, claim, create, echo, engine, eventually, worker};
use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, ConditionsDraft, Ending, RateDraft, TaskDraft, TaskStatus};
use orchestratum_engine::external::ClaimDraft;
use orchestratum_engine::tasks::Why;
use orchestratum_engine::{Engine, Error, RUNNING_GRACE};
use orchestratum_store::{Evidence, KeyWait};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

async fn with_loops() -> (Engine, TaskTracker, CancellationToken) {
    let engine = engine().await;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    engine.start_background(true, &tracker, &stop);
    (engine, tracker, stop)
}

async fn until(engine: &Engine, id: TaskId, status: TaskStatus) {
    eventually(&format!("{id} is {status}"), || async {
        let task = engine.task(id).await.expect("it exists");
        (task.life.status() == status).then_some(())
    })
    .await;
}

async fn stop(tracker: TaskTracker, stop: CancellationToken) {
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn a_delayed_task_becomes_claimable_when_its_time_has_come() {
    let (engine, tracker, token) = with_loops().await;
    let id = create(
        &engine,
        TaskDraft {
            delay_seconds: Some(60.0),
            ..echo()
        },
    )
    .await;
    let worker = worker(&engine).await;
    assert!(claim(&engine, worker).await.is_empty());
    // The lease must outlive the wait.
    engine.clock().advance(Duration::from_secs(55));
    let worker = crate::common::worker(&engine).await;
    engine.clock().advance(Duration::from_secs(5));
    let claimed = eventually("it is released", || async { claim(&engine, worker).await.pop() }).await;
    assert_eq!(claimed.id, id);
    stop(tracker, token).await;
}

#[tokio::test]
async fn a_task_that_waits_for_a_start_becomes_claimable_when_it_is_earned() {
    let (engine, tracker, token) = with_loops().await;
    let rated = || TaskDraft {
        conditions: ConditionsDraft {
            rate: Some(RateDraft {
                key: "api".to_owned(),
                limit: 1,
                per_seconds: 60.0,
            }),
            ..ConditionsDraft::default()
        },
        ..echo()
    };
    let (first, second) = (create(&engine, rated()).await, create(&engine, rated()).await);
    let worker = worker(&engine).await;
    let claimed = claim(&engine, worker).await;
    assert_eq!(claimed.iter().map(|task| task.id).collect::<Vec<_>>(), [first]);
    let why = engine.why(second).await.expect("it exists");
    assert!(matches!(why, Why::WaitsForKey(KeyWait::Start { .. })), "{why:?}");
    // The lease must outlive the wait.
    engine.clock().advance(Duration::from_secs(55));
    let worker = crate::common::worker(&engine).await;
    engine.clock().advance(Duration::from_secs(5));
    let claimed = eventually("it is released", || async { claim(&engine, worker).await.pop() }).await;
    assert_eq!(claimed.id, second);
    stop(tracker, token).await;
}

#[tokio::test]
async fn deadlines_end_pending_tasks_at_once_and_running_ones_after_the_grace() {
    let (engine, tracker, token) = with_loops().await;
    let running = create(
        &engine,
        TaskDraft {
            ttl_seconds: Some(5.0),
            ..echo()
        },
    )
    .await;
    let worker = worker(&engine).await;
    assert_eq!(claim(&engine, worker).await.len(), 1);
    let pending = create(
        &engine,
        TaskDraft {
            ttl_seconds: Some(5.0),
            ..echo()
        },
    )
    .await;

    engine.clock().advance(Duration::from_secs(5));
    until(&engine, pending, TaskStatus::Expired).await;
    assert_eq!(
        engine.task(running).await.expect("it exists").life.status(),
        TaskStatus::InProgress
    );

    engine.clock().advance(RUNNING_GRACE + Duration::from_millis(1));
    until(&engine, running, TaskStatus::Expired).await;
    let late = engine
        .finish(running, 1, Ending::Success, Evidence::default())
        .await
        .expect("answered");
    assert!(
        matches!(late, orchestratum_engine::tasks::FinishOutcome::Refused { .. }),
        "{late:?}"
    );
    stop(tracker, token).await;
}

#[tokio::test]
async fn the_tasks_of_a_silent_worker_run_again_and_use_a_loss_not_a_retry() {
    let (engine, tracker, token) = with_loops().await;
    let id = create(
        &engine,
        TaskDraft {
            max_losses: Some(1),
            ..echo()
        },
    )
    .await;
    for attempt in 1..=2 {
        let worker = worker(&engine).await;
        let claimed = eventually("it can be claimed", || async { claim(&engine, worker).await.pop() }).await;
        assert_eq!((claimed.id, claimed.attempt), (id, attempt));
        engine.clock().advance(LEASE + Duration::from_millis(1));
        let expected = if attempt == 1 {
            TaskStatus::Pending
        } else {
            TaskStatus::Failed
        };
        until(&engine, id, expected).await;
    }
    let (_, attempts) = engine.attempts(id, 0).await.expect("it exists");
    assert!(
        attempts
            .items
            .iter()
            .all(|attempt| attempt.outcome == AttemptOutcome::Lost)
    );
    stop(tracker, token).await;
}

#[tokio::test]
async fn a_name_that_nobody_offers_fails_half_a_minute_after_a_worker_came() {
    let (engine, tracker, token) = with_loops().await;
    let id = create(
        &engine,
        TaskDraft {
            name: "unknown".to_owned(),
            ..TaskDraft::default()
        },
    )
    .await;
    let keeper = worker(&engine).await;
    let mut lease = engine.store().lease_keeper().await.expect("a connection");
    for _ in 0..8 {
        engine.clock().advance(Duration::from_secs(5));
        lease.renew(keeper, LEASE, engine.clock().now()).await.expect("renewed");
    }
    until(&engine, id, TaskStatus::Failed).await;
    let (_, attempts) = engine.attempts(id, 0).await.expect("it exists");
    assert_eq!(
        attempts.items.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(),
        [AttemptOutcome::NotFound]
    );
    let error = attempts.items[0].error.as_ref().expect("a reason");
    assert!(
        error
            .message
            .starts_with("no worker of the target `default` offers `unknown`; offered there: `echo`; "),
        "{}",
        error.message
    );
    stop(tracker, token).await;
}

#[tokio::test]
async fn what_an_external_worker_does_not_keep_is_lost_and_what_takes_too_long_has_timed_out() {
    let (engine, tracker, token) = with_loops().await;
    let mail = || TaskDraft {
        name: "mail".to_owned(),
        ..TaskDraft::default()
    };
    let lost = create(&engine, mail()).await;
    let slow = TaskDraft {
        timeout_seconds: Some(10.0),
        ..mail()
    };
    let slow = create(&engine, slow).await;
    let draft = ClaimDraft {
        worker: "outside".to_owned(),
        targets: vec!["default".to_owned()],
        names: vec!["mail".to_owned()],
        max: 10,
        ..ClaimDraft::default()
    };
    let claimed = engine.claim_external(draft, "key").await.expect("claimed");
    assert_eq!(claimed.tasks.len(), 2);
    eventually("both attempts are over", || async {
        engine.clock().advance(Duration::from_secs(1));
        let (_, of_lost) = engine.attempts(lost, 0).await.expect("it exists");
        let (_, of_slow) = engine.attempts(slow, 0).await.expect("it exists");
        let (of_lost, of_slow) = (of_lost.items.first()?, of_slow.items.first()?);
        assert_eq!(of_lost.outcome, AttemptOutcome::Lost);
        assert_eq!(of_slow.outcome, AttemptOutcome::TimedOut);
        Some(())
    })
    .await;
    until(&engine, lost, TaskStatus::Pending).await;
    until(&engine, slow, TaskStatus::Failed).await;
    let late = engine.heartbeat(lost, 1, None, None, "key").await;
    assert!(matches!(late, Err(Error::AttemptOver { .. })), "{late:?}");
    stop(tracker, token).await;
}
