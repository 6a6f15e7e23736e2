//! Claims that take long, or fail.

use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::TaskStatus;
use orchestratum_worker::{Handled, Handler, HandlerContext, HandlerError};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::support::{BOUND, Bench};

/// Tells which task it has begun, and ends it when it may.
struct Patient {
    begun: mpsc::UnboundedSender<u32>,
    may_end: Arc<Semaphore>,
}

#[async_trait]
impl Handler for Patient {
    async fn handle(&self, input: JsonText, _context: HandlerContext) -> Result<Handled, HandlerError> {
        let _ = self.begun.send(input.parse().expect("a number"));
        let permit = self.may_end.acquire().await.expect("it is never closed");
        permit.forget();
        Ok(input.into())
    }
}

/// The numbers of the next tasks that begin, whichever thread was faster.
async fn next(begun: &mut mpsc::UnboundedReceiver<u32>, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let begun = timeout(BOUND, begun.recv()).await.expect("it begins in time");
        numbers.push(begun.expect("the worker runs"));
    }
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_under_way_ask_for_no_more_than_there_is_room_for_and_bring_the_oldest_first() {
    let settings = [("worker.in_process_concurrency", "5"), ("worker.max_claim", "3")];
    let (bench, mut gate) = Bench::gated("patient", &settings).await;
    let (begins, mut begun) = mpsc::unbounded_channel();
    let may_end = Arc::new(Semaphore::new(0));
    let patient = Patient {
        begun: begins,
        may_end: Arc::clone(&may_end),
    };
    let worker = bench.worker_with(|builder| builder.handler("patient", patient)).await;
    // It asks when it starts, and again when it hears of tasks.
    let first = gate.next().await;
    let mut tasks = Vec::new();
    for number in 0..8 {
        tasks.push(bench.create(json!({"name": "patient", "input": number})).await);
    }
    let second = gate.next().await;
    assert_eq!(
        (first.request.limit, second.request.limit),
        (3, 2),
        "five places in all"
    );
    assert_eq!(second.pass().await, 2);
    assert_eq!(next(&mut begun, 2).await, [0, 1]);
    assert_eq!(first.pass().await, 3);
    assert_eq!(next(&mut begun, 3).await, [2, 3, 4]);
    // Both brought all they could, so there is more; but no claim comes before a place is free.
    may_end.add_permits(1);
    let third = gate.next().await;
    assert_eq!(third.request.limit, 1);
    assert_eq!(third.pass().await, 1);
    assert_eq!(next(&mut begun, 1).await, [5]);
    drop(gate);
    may_end.add_permits(tasks.len());
    for id in tasks {
        assert_eq!(bench.ended(id).await.life.status(), TaskStatus::Completed);
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_ready_is_asked_for_as_soon_as_the_pause_after_a_failed_claim_is_over() {
    // One place, so that there is one claim at a time; and nothing but word of the task makes the worker ask in time.
    let settings = [
        ("worker.in_process_concurrency", "1"),
        ("worker.poll_interval_seconds", "600"),
    ];
    let (bench, mut gate) = Bench::gated("echo", &settings).await;
    let worker = bench.worker().await;
    // Only after a claim that was answered does it count on being told.
    assert_eq!(gate.next().await.pass().await, 0);
    let asked_for = bench.create(json!({"name": "echo", "input": 1})).await;
    let fails = gate.next().await;
    let came_meanwhile = bench.create(json!({"name": "echo", "input": 2})).await;
    fails.fail();
    assert_eq!(gate.next().await.pass().await, 1);
    drop(gate);
    for id in [asked_for, came_meanwhile] {
        assert_eq!(bench.ended(id).await.life.status(), TaskStatus::Completed);
    }
    worker.stopped().await;
}
