//! A clock that is moved by hand: what is made holds its time, and what happens beside a move is not hurt by it.

use std::time::Duration;

use orchestratum_core::Timestamp;
use orchestratum_core::task::{Ending, TaskDraft};
use orchestratum_engine::clock::LATEST;
use orchestratum_engine::external::ClaimDraft;
use orchestratum_engine::{Engine, Error, Settings};
use orchestratum_store::{Evidence, TaskFilter};

use crate::common::{create, echo};

/// In memory, on a clock that begins at this time.
async fn engine_at(begins: Timestamp) -> Engine {
    let settings = Settings::load_with(&[("database.url", "sqlite::memory:"), ("broker.url", "database")]);
    let engine = Engine::connect_with_manual_clock(settings.expect("valid settings"), begins).await;
    let engine = engine.expect("a database in memory");
    engine.migrate().await.expect("a schema");
    engine
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[tokio::test]
async fn retention_and_lists_go_by_the_clock_however_far_it_is_from_that_of_the_machine() {
    for begins in ["1990-03-01T00:00:00Z", "2090-03-01T00:00:00Z"] {
        let engine = engine_at(time(begins)).await;
        let old = create(&engine, echo()).await;
        engine.cancel(old, None, None).await.expect("it is cancelled");
        engine.advance_clock(86_400.0).await.expect("it goes on");
        let young = create(&engine, echo()).await;
        engine.cancel(young, None, None).await.expect("it is cancelled");
        let page = engine.list(&TaskFilter::default(), None, 10).await.expect("works");
        let listed: Vec<_> = page.items.iter().map(|task| task.spec.id).collect();
        assert_eq!(listed, [young, old], "the newest first, {begins}");
        let noon = engine.clock().now() - Duration::from_secs(43_200);
        let purged = engine.store().purge_finished(noon, 10).await.expect("works");
        assert_eq!(purged, 1, "{begins}");
        assert!(
            matches!(engine.task(old).await, Err(Error::TaskNotFound(_))),
            "{begins}"
        );
        engine.task(young).await.expect("it is kept");
    }
}

#[tokio::test]
async fn what_is_claimed_in_the_moment_of_a_move_is_held_after_it() {
    let engine = engine_at(time("2026-12-01T00:00:00Z")).await;
    for number in 0..20 {
        let task = TaskDraft {
            name: "ship".to_owned(),
            ..echo()
        };
        let task = create(&engine, task).await;
        // Each time a worker that registers with its claim, and a move that is begun before and after it.
        let claim = ClaimDraft {
            worker: format!("worker {number}"),
            targets: vec!["default".to_owned()],
            names: vec!["ship".to_owned()],
            max: 1,
            lease_seconds: Some(5.0),
            ..ClaimDraft::default()
        };
        let (moved, claimed) = if number % 2 == 0 {
            tokio::join!(engine.advance_clock(900.0), engine.claim_external(claim, "key"))
        } else {
            let (claimed, moved) = tokio::join!(engine.claim_external(claim, "key"), engine.advance_clock(900.0));
            (moved, claimed)
        };
        moved.expect("it goes on");
        assert_eq!(claimed.expect("works").tasks.len(), 1);
        let leases = engine
            .store()
            .ended_leases(engine.clock().now(), 10)
            .await
            .expect("works");
        assert!(leases.is_empty(), "{leases:?}");
        let dead = engine.store().mark_dead(engine.clock().now()).await.expect("works");
        assert!(dead.is_empty(), "{dead:?}");
        let held = engine.heartbeat(task, 1, None, None, "key").await;
        held.expect("it is still held");
        let ended = engine.finish(task, 1, Ending::Success, Evidence::default()).await;
        ended.expect("it is recorded");
    }
}

#[tokio::test]
async fn of_two_moves_at_once_one_comes_after_the_other() {
    let engine = engine_at(LATEST - Duration::from_secs(3)).await;
    let (first, second) = tokio::join!(engine.advance_clock(1.0), engine.advance_clock(1.0));
    let (first, second) = (first.expect("it goes on"), second.expect("it goes on"));
    let second_before = LATEST - Duration::from_secs(1);
    assert_eq!((first, second), (second_before - Duration::from_secs(1), second_before));
    let (one, other) = tokio::join!(engine.advance_clock(1.0), engine.advance_clock(1.0));
    assert_eq!(one.expect("it goes on"), LATEST);
    assert!(
        matches!(other, Err(Error::Invalid(_))),
        "there is no time left: {other:?}"
    );
    assert_eq!(engine.clock().now(), LATEST);
}
