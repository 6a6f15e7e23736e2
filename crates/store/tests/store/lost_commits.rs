//! A COMMIT that is sent and not answered: the server is asked what became of it, so nothing happens twice and nothing
//! is lost, whether the request or its answer went missing.

use crate::conformance::Fixture;
use crate::conformance::lab::{Lab, done, draft, name};
use crate::support::Postgres;
use orchestratum_core::task::{SpecLimits, TaskEvent, TaskPatch, TaskStatus};
use orchestratum_store::{Change, CreateOutcome, IdempotencyKey, TaskFilter};
use orchestratum_testkit::{FaultProxy, LostCommit};

const LOSSES: [LostCommit; 2] = [LostCommit::Request, LostCommit::Answer];

/// A store behind a proxy.
async fn proxied() -> (Lab, FaultProxy, Postgres) {
    let (proxy, url) = FaultProxy::before(&crate::support::database_url())
        .await
        .expect("a proxy");
    let postgres = Postgres::fresh(&url).await;
    (Lab::new(postgres.store()), proxy, postgres)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_commit_is_not_answered_is_made_once_and_answered_so() {
    let (lab, proxy, postgres) = proxied().await;
    for lost in LOSSES {
        let cancelled = lab.create(draft("echo")).await;
        proxy.lose_next_commit(lost);
        // Made a second time it would be refused: the task is over.
        let event = TaskEvent::CancelRequested { reason: None };
        let changed = done(lab.apply(Change::new(cancelled, event)).await);
        assert!(proxy.has_lost_the_commit(), "{lost:?}");
        assert_eq!(changed.life.status(), TaskStatus::Cancelled, "{lost:?}");
        lab.assert_reads_as(&changed).await;

        let patched = lab.create(draft("echo")).await;
        proxy.lose_next_commit(lost);
        let patch = TaskPatch {
            priority: Some(7),
            ..TaskPatch::default()
        };
        let patch = patch
            .check(&name("echo"), &SpecLimits::default(), lab.now)
            .expect("it meets the rules");
        let changed = done(
            lab.apply(Change {
                patch: Some(patch.clone()),
                // Made a second time it would find another version.
                expected_version: Some(1),
                ..Change::new(patched, TaskEvent::Patched(patch.life))
            })
            .await,
        );
        assert!(proxy.has_lost_the_commit(), "{lost:?}");
        assert_eq!(changed.life.version, 2, "{lost:?}");
        assert_eq!(lab.assert_reads_as(&changed).await.spec.priority, 7);
    }
    assert_eq!(proxy.swallowed_answers(), 2, "only answers of COMMIT were lost");
    lab.assert_sound().await;
    lab.store.close().await;
    drop(postgres);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_with_a_key_whose_commit_is_not_answered_made_its_task_once() {
    let (lab, proxy, postgres) = proxied().await;
    for lost in LOSSES {
        let key = IdempotencyKey {
            scope: "caller".to_owned(),
            key: format!("{lost:?}"),
            body_hash: [1; 32],
        };
        let task = lab.task_of(draft("echo"));
        let id = task.spec.id;
        proxy.lose_next_commit(lost);
        let outcome = lab.try_create(vec![task], Some(key.clone())).await;
        assert!(proxy.has_lost_the_commit(), "{lost:?}");
        assert_eq!(outcome, CreateOutcome::Created, "{lost:?}");
        let again = lab.try_create(vec![lab.task_of(draft("echo"))], Some(key)).await;
        assert_eq!(again, CreateOutcome::Replayed { ids: vec![id] }, "{lost:?}");
    }
    let page = lab.store.list(&TaskFilter::default(), None, 10).await.expect("works");
    assert_eq!(page.items.len(), LOSSES.len());
    lab.assert_sound().await;
    lab.store.close().await;
    drop(postgres);
}
