//! The use cases, on a database in memory.

use std::time::Duration;

use crate::common::{claim, create, echo, engine, worker};
use orchestratum_core::task::{Ending, TaskDraft, TaskPatch, TaskStatus};
use orchestratum_core::{JsonText, Origin};
use orchestratum_engine::Error;
use orchestratum_engine::keys::{AuthenticationError, CreateKey, Scope};
use orchestratum_engine::tasks::{CancelledTask, CreateTasks, CreatedTasks, FinishOutcome, Replay, RetryTask, Why};
use orchestratum_store::{Evidence, IdempotencyKey};

fn failed() -> Ending {
    Ending::Failed {
        message: "no luck".to_owned(),
        retryable: true,
        code: None,
    }
}

#[tokio::test]
async fn a_task_is_created_claimed_and_finished() {
    let engine = engine().await;
    let id = create(&engine, echo()).await;
    let worker = worker(&engine).await;
    let claimed = claim(&engine, worker).await;
    assert_eq!((claimed.len(), claimed[0].id, claimed[0].attempt), (1, id, 1));
    let evidence = Evidence {
        output: Some(JsonText::trusted("1")),
        ..Evidence::default()
    };
    let outcome = engine
        .finish(id, 1, Ending::Success, evidence.clone())
        .await
        .expect("recorded");
    assert_eq!(
        outcome,
        FinishOutcome::Recorded {
            status: TaskStatus::Completed
        }
    );
    let again = engine.finish(id, 1, Ending::Success, evidence).await.expect("answered");
    assert_eq!(
        again,
        FinishOutcome::AlreadyRecorded,
        "a repeated report changes nothing and is no fault"
    );
    let (task, attempts) = engine.attempts(id, 0).await.expect("it exists");
    assert_eq!(task.output, Some(JsonText::trusted("1")));
    assert_eq!((attempts.items.len(), attempts.next), (1, None));
}

#[tokio::test]
async fn a_report_with_an_old_fence_is_refused() {
    let engine = engine().await;
    let id = create(
        &engine,
        TaskDraft {
            max_retries: Some(1),
            ..echo()
        },
    )
    .await;
    let worker = worker(&engine).await;
    claim(&engine, worker).await;
    engine
        .finish(id, 1, failed(), Evidence::default())
        .await
        .expect("recorded");
    let outcome = engine
        .finish(id, 1, Ending::Success, Evidence::default())
        .await
        .expect("answered");
    assert!(matches!(outcome, FinishOutcome::Refused { .. }), "{outcome:?}");
    assert_eq!(
        engine.task(id).await.expect("it exists").life.status(),
        TaskStatus::Pending
    );
}

#[tokio::test]
async fn an_output_that_is_too_large_ends_the_attempt_for_good() {
    let engine = engine().await;
    let id = create(
        &engine,
        TaskDraft {
            max_retries: Some(5),
            ..echo()
        },
    )
    .await;
    let worker = worker(&engine).await;
    claim(&engine, worker).await;
    let output = JsonText::trusted(format!("\"{}\"", "x".repeat(1 << 20)));
    let evidence = Evidence {
        output: Some(output),
        ..Evidence::default()
    };
    engine.finish(id, 1, Ending::Success, evidence).await.expect("recorded");
    let task = engine.task(id).await.expect("it exists");
    assert_eq!(task.life.status(), TaskStatus::Failed);
    assert_eq!(task.output, None);
}

#[tokio::test]
async fn one_idempotency_key_makes_one_task_however_often_and_concurrently_it_is_sent() {
    let engine = engine().await;
    let request = |hash| CreateTasks {
        drafts: vec![echo()],
        chosen_id: None,
        idempotency: Some(IdempotencyKey {
            scope: "default".to_owned(),
            key: "k".to_owned(),
            body_hash: [hash; 32],
        }),
        indexed: false,
        origin: Origin::default(),
    };
    let answers = futures::future::join_all((0..64).map(|_| engine.create(request(1)))).await;
    let ids: std::collections::BTreeSet<_> = answers
        .into_iter()
        .map(|answer| match answer.expect("answered") {
            CreatedTasks::Created(tasks) | CreatedTasks::Replayed(Replay { tasks, .. }) => tasks[0].spec.id,
            CreatedTasks::Existing(task) => task.spec.id,
            CreatedTasks::Met { tasks, .. } => panic!("nothing here is unique: {tasks:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 1);
    assert!(matches!(
        engine.create(request(2)).await,
        Err(Error::IdempotencyKeyReused)
    ));
}

#[tokio::test]
async fn a_batch_with_one_wrong_task_stores_none_and_points_at_it() {
    let engine = engine().await;
    let wrong = TaskDraft {
        name: "no spaces".to_owned(),
        ..TaskDraft::default()
    };
    let request = CreateTasks {
        drafts: vec![echo(), wrong, echo()],
        chosen_id: None,
        idempotency: None,
        indexed: true,
        origin: Origin::default(),
    };
    let Err(Error::Invalid(violations)) = engine.create(request).await else {
        panic!("it was accepted")
    };
    assert_eq!(violations.0[0].pointer, "/tasks/1/name");
    assert_eq!(
        engine.stats().await.expect("counts").counts.by_status[&TaskStatus::Pending],
        0
    );
}

#[tokio::test]
async fn whoever_waits_is_answered_when_the_task_ends() {
    let engine = engine().await;
    let (tracker, stop) = Default::default();
    engine.start_background(false, &tracker, &stop);
    let id = create(&engine, echo()).await;
    let worker = worker(&engine).await;
    claim(&engine, worker).await;
    let (waited, _) = tokio::join!(
        engine.wait(id, Duration::from_secs(20)),
        engine.finish(id, 1, Ending::Success, Evidence::default())
    );
    assert_eq!(waited.expect("it exists").life.status(), TaskStatus::Completed);
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn cancelling_ends_a_pending_task_at_once_and_marks_a_running_one() {
    let engine = engine().await;
    let pending = create(&engine, echo()).await;
    let first = engine
        .cancel(pending, Some("enough".to_owned()), None)
        .await
        .expect("cancelled");
    let CancelledTask::Now(cancelled) = first else {
        panic!("{first:?}");
    };
    assert_eq!(cancelled.life.status(), TaskStatus::Cancelled);
    let second = engine.cancel(pending, None, None).await.expect("it is so already");
    assert_eq!(second, CancelledTask::Before(cancelled));

    let running = create(
        &engine,
        TaskDraft {
            max_retries: Some(3),
            ..echo()
        },
    )
    .await;
    let worker = worker(&engine).await;
    claim(&engine, worker).await;
    let first = engine.cancel(running, None, None).await.expect("accepted");
    let CancelledTask::Now(cancelling) = first else {
        panic!("{first:?}");
    };
    assert_eq!(cancelling.life.status(), TaskStatus::InProgress);
    let second = engine.cancel(running, None, None).await.expect("it was asked for");
    assert_eq!(second, CancelledTask::Before(cancelling));
    engine
        .finish(running, 1, failed(), Evidence::default())
        .await
        .expect("recorded");
    let task = engine.task(running).await.expect("it exists");
    assert_eq!(
        task.life.status(),
        TaskStatus::Cancelled,
        "a cancelled attempt is never retried"
    );
}

#[tokio::test]
async fn a_retry_is_a_new_run_with_its_time_to_live_renewed_and_edits_applied() {
    let engine = engine().await;
    let id = create(
        &engine,
        TaskDraft {
            ttl_seconds: Some(60.0),
            ..echo()
        },
    )
    .await;
    engine.cancel(id, None, None).await.expect("cancelled");
    engine.clock().advance(Duration::from_secs(3_600));
    let edit = RetryTask {
        input: Some(JsonText::trusted("2")),
        ..RetryTask::default()
    };
    let task = engine.retry(id, edit, None).await.expect("retried");
    assert_eq!((task.life.status(), task.life.run), (TaskStatus::Pending, 2));
    assert_eq!(task.spec.input, JsonText::trusted("2"));
    assert_eq!(task.life.expires_at, engine.clock().now() + Duration::from_secs(60));
    assert!(matches!(
        engine.retry(id, RetryTask::default(), None).await,
        Err(Error::Refused { .. })
    ));
}

#[tokio::test]
async fn a_patch_holds_to_the_version_and_to_what_the_status_allows() {
    let engine = engine().await;
    let id = create(&engine, echo()).await;
    let patch = TaskPatch {
        priority: Some(9),
        ..TaskPatch::default()
    };
    let patched = engine.patch(id, patch.clone(), Some(1), None).await.expect("patched");
    assert_eq!((patched.spec.priority, patched.life.version), (9, 2));
    let outdated = engine.patch(id, patch.clone(), Some(1), None).await;
    assert!(
        matches!(outdated, Err(Error::VersionMismatch { current: 2, .. })),
        "{outdated:?}"
    );
    let same = engine.patch(id, patch.clone(), Some(2), None).await.expect("it is so");
    assert_eq!(same, patched, "nothing was written");
    let worker = worker(&engine).await;
    claim(&engine, worker).await;
    assert!(matches!(
        engine.patch(id, patch, None, None).await,
        Err(Error::Refused { .. })
    ));
    let longer = TaskPatch {
        ttl_seconds: Some(5.0),
        ..TaskPatch::default()
    };
    let patched = engine
        .patch(id, longer.clone(), None, None)
        .await
        .expect("a running task's deadline may move");
    assert_eq!(
        engine.patch(id, longer, None, None).await.expect("it is there"),
        patched,
        "nothing was written"
    );
    assert_eq!(
        patched.life.expires_at,
        patched.life.scheduled_at + Duration::from_secs(5)
    );
}

#[tokio::test]
async fn why_names_what_a_task_waits_for() {
    let engine = engine().await;
    let id = create(&engine, echo()).await;
    assert!(matches!(engine.why(id).await.expect("it exists"), Why::NoWorker { .. }));
    let other = create(
        &engine,
        TaskDraft {
            name: "unknown".to_owned(),
            ..TaskDraft::default()
        },
    )
    .await;
    let worker = worker(&engine).await;
    assert!(matches!(
        engine.why(other).await.expect("it exists"),
        Why::NameNotOffered { .. }
    ));
    assert!(matches!(
        engine.why(id).await.expect("it exists"),
        Why::WaitingForWorker { workers: 1, .. }
    ));
    let target = "default".parse().expect("valid");
    engine.pause(&target, None).await.expect("paused");
    assert!(matches!(engine.why(id).await.expect("it exists"), Why::Paused { .. }));
    assert!(claim(&engine, worker).await.is_empty());
    engine.resume(&target, None).await.expect("resumed");
    claim(&engine, worker).await;
    assert!(matches!(engine.why(id).await.expect("it exists"), Why::Running { .. }));
    let later = create(
        &engine,
        TaskDraft {
            delay_seconds: Some(60.0),
            ..echo()
        },
    )
    .await;
    assert!(matches!(
        engine.why(later).await.expect("it exists"),
        Why::DueLater { .. }
    ));
}

#[tokio::test]
async fn a_key_opens_until_it_is_revoked_and_only_for_its_scopes() {
    let engine = engine().await;
    let request = CreateKey {
        name: "ci".to_owned(),
        scopes: vec![Scope::TasksRead],
        expires_at: None,
    };
    let created = engine.create_key(request).await.expect("created");
    let text = created.text.reveal();
    let identity = engine.authenticate(&text).await.expect("valid");
    assert!(identity.may(Scope::TasksRead) && !identity.may(Scope::TasksWrite) && !identity.may(Scope::Admin));
    for wrong in ["", "orch_", &text[..text.len() - 1], &text.to_uppercase()] {
        assert!(
            matches!(engine.authenticate(wrong).await, Err(AuthenticationError::Refused)),
            "{wrong:?}"
        );
    }
    engine.revoke_key(&created.key.id).await.expect("revoked");
    assert!(matches!(
        engine.authenticate(&text).await,
        Err(AuthenticationError::Refused)
    ));
}

#[tokio::test]
async fn the_first_key_is_made_once() {
    let engine = engine().await;
    let first = engine.create_first_key().await.expect("asked").expect("there was none");
    assert!(engine.create_first_key().await.expect("asked").is_none());
    let identity = engine.authenticate(&first.text.reveal()).await.expect("valid");
    assert!(identity.may(Scope::Worker), "admin may everything");
}
