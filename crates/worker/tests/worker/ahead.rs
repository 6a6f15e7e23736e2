//! Tasks that are claimed before there is room for them.

use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_worker::{Handler, HandlerContext, HandlerError};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::Bench;

struct Quick;

#[async_trait]
impl Handler for Quick {
    async fn handle(&self, input: JsonText, _context: HandlerContext) -> Result<JsonText, HandlerError> {
        Ok(input)
    }
}

struct Slow(Arc<Semaphore>);

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, input: JsonText, _context: HandlerContext) -> Result<JsonText, HandlerError> {
        let _permit = self.0.acquire().await.expect("it is never closed");
        Ok(input)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_and_has_no_turn_soon_is_left_to_other_workers_once() {
    let bench = Bench::with(&[("worker.in_process_concurrency", "1")]).await;
    let may_end = Arc::new(Semaphore::new(0));
    let with_handlers = |builder: orchestratum_worker::Builder| {
        builder
            .handler("quick", Quick)
            .handler("slow", Slow(Arc::clone(&may_end)))
    };
    let first = bench.worker_with(with_handlers).await;
    for _ in 0..60 {
        bench.run(json!({"name": "quick"})).await;
    }
    let slow = bench.create(json!({"name": "slow"})).await;
    bench
        .until(slow, |task| task.life.status() == TaskStatus::InProgress)
        .await;
    // Its tasks were quick so far, so it claims some more, and finds that they do not get on.
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(bench.create(json!({"name": "quick"})).await);
    }
    bench
        .until(waiting[0], |task| {
            task.life.status() == TaskStatus::Pending && task.life.attempt > 0
        })
        .await;
    let second = bench.worker_with(with_handlers).await;
    for id in waiting {
        let done = bench.ended(id).await;
        assert_eq!(done.life.status(), TaskStatus::Completed);
        let outcomes = bench.outcomes(id).await;
        let released = outcomes
            .iter()
            .filter(|outcome| **outcome == AttemptOutcome::Released)
            .count();
        assert!(released <= 1, "{outcomes:?}");
    }
    let slow_task = bench.engine.task(slow).await.expect("it exists");
    assert_eq!(slow_task.life.status(), TaskStatus::InProgress, "nobody waited for it");
    may_end.add_permits(1);
    assert_eq!(bench.ended(slow).await.life.status(), TaskStatus::Completed);
    first.stopped().await;
    second.stopped().await;
}
