//! Tasks that are claimed before there is room for them.

use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_core::{JsonText, TaskId};
use orchestratum_worker::{Builder, Handled, Handler, HandlerContext, HandlerError};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{Bench, RunningWorker};

struct Quick;

#[async_trait]
impl Handler for Quick {
    async fn handle(&self, input: JsonText, _context: HandlerContext) -> Result<Handled, HandlerError> {
        Ok(input.into())
    }
}

struct Slow(Arc<Semaphore>);

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, input: JsonText, _context: HandlerContext) -> Result<Handled, HandlerError> {
        let _permit = self.0.acquire().await.expect("it is never closed");
        Ok(input.into())
    }
}

async fn one_at_a_time() -> Bench {
    Bench::with(&[("worker.in_process_concurrency", "1")]).await
}

async fn worker(bench: &Bench, may_end: &Arc<Semaphore>) -> RunningWorker {
    let with_handlers = |builder: Builder| {
        builder
            .handler("quick", Quick)
            .handler("slow", Slow(Arc::clone(may_end)))
    };
    bench.worker_with(with_handlers).await
}

/// A worker whose tasks were quick so far, so that it claims some more, and one that keeps it.
async fn kept_by_a_slow_one(bench: &Bench, may_end: &Arc<Semaphore>) -> (RunningWorker, TaskId) {
    let worker = worker(bench, may_end).await;
    for _ in 0..60 {
        bench.run(json!({"name": "quick"})).await;
    }
    let slow = bench.create(json!({"name": "slow"})).await;
    bench
        .until(slow, |task| task.life.status() == TaskStatus::InProgress)
        .await;
    (worker, slow)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_and_has_no_turn_soon_is_left_to_other_workers_once() {
    let bench = one_at_a_time().await;
    let may_end = Arc::new(Semaphore::new(0));
    let (first, slow) = kept_by_a_slow_one(&bench, &may_end).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(bench.create(json!({"name": "quick"})).await);
    }
    bench
        .until(waiting[0], |task| {
            task.life.status() == TaskStatus::Pending && task.life.attempt > 0
        })
        .await;
    let second = worker(&bench, &may_end).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_of_what_was_claimed_ahead_counts_from_its_turn() {
    let bench = one_at_a_time().await;
    let may_end = Arc::new(Semaphore::new(0));
    let (worker, slow) = kept_by_a_slow_one(&bench, &may_end).await;
    // Shorter than it waits for its turn.
    let hurried = bench
        .create(json!({"name": "quick", "timeout_seconds": 0.1, "max_retries": 0}))
        .await;
    bench
        .until(hurried, |task| {
            task.life.attempt > 0 && task.life.status() != TaskStatus::InProgress
        })
        .await;
    assert_eq!(bench.outcomes(hurried).await, [AttemptOutcome::Released]);
    may_end.add_permits(1);
    assert_eq!(bench.ended(slow).await.life.status(), TaskStatus::Completed);
    assert_eq!(bench.ended(hurried).await.life.status(), TaskStatus::Completed);
    worker.stopped().await;
}
