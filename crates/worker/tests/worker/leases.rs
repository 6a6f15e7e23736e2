//! What follows from a lease that is renewed, lost, or cannot be renewed.

use std::path::PathBuf;
use std::time::Duration;

use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_core::{Target, TaskName};
use orchestratum_store::{ClaimRequest, Worker, WorkerState};
use serde_json::json;

use crate::support::{Bench, OPEN, alive, until};

async fn the_live_worker(bench: &Bench) -> Worker {
    for _ in 0..3_000 {
        let workers = bench.engine.workers().await.expect("they are listed");
        if let Some(worker) = workers.into_iter().find(|worker| worker.state == WorkerState::Live) {
            return worker;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no worker is registered");
}

/// A task that runs and obeys nothing but KILL; the file that has the id of its process.
async fn stubborn(bench: &Bench) -> PathBuf {
    let ids = bench.work_dir.path().join("ids");
    let script = "trap '' TERM; echo $$ >> $1; while :; do sleep 1; done";
    bench
        .create(json!({"name": "shell", "input": {"script": script, "args": [ids]}}))
        .await;
    until("it runs", || alive(&ids).len() == 1).await;
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_what_it_serves() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let registration = the_live_worker(&bench).await.registration;
    let names: Vec<&str> = registration.names.iter().map(TaskName::as_str).collect();
    assert_eq!(names, ["echo", "http", "python", "shell"]);
    assert_eq!((registration.capacity, registration.isolation.as_str()), (260, "full"));
    assert!(
        registration.name.ends_with(&format!("-{}", std::process::id())),
        "{}",
        registration.name
    );
    worker.stopped().await;
    let workers = bench.engine.workers().await.expect("they are listed");
    assert_eq!(workers[0].state, WorkerState::Left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_was_lost_is_handed_back() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let holder = the_live_worker(&bench).await.registration.id;
    // A claim in the worker's name that the worker knows nothing of.
    let id = bench.create(json!({"name": "other", "input": null})).await;
    let request = ClaimRequest {
        worker: holder,
        named: vec![id],
        targets: vec![Target::new("default").expect("valid")],
        names: vec![TaskName::new("other").expect("valid")],
        limit: 1,
        fill_up: true,
    };
    assert_eq!(bench.engine.claim(&request).await.expect("it is made").len(), 1);
    let task = bench.until(id, |task| task.life.status() == TaskStatus::Pending).await;
    assert_eq!(bench.outcomes(id).await, [AttemptOutcome::Released]);
    assert_eq!((task.life.losses_left, task.life.retries_left), (3, 0));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_lease_kills_registers_anew_and_goes_on() {
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let first = the_live_worker(&bench).await.registration.id;
    let ids = bench.work_dir.path().join("ids");
    let script = "echo $$ >> $1; test $ORCHESTRATUM_ATTEMPT != 1 || { trap '' TERM; while :; do sleep 1; done; }";
    let id = bench
        .create(json!({"name": "shell", "input": {"script": script, "args": [ids]}}))
        .await;
    until("the first attempt runs", || alive(&ids).len() == 1).await;
    let late = bench.engine.clock().now() + Duration::from_secs(3_600);
    bench.engine.store().mark_dead(late).await.expect("it is marked");
    let task = bench.ended(id).await;
    assert_eq!(task.life.status(), TaskStatus::Completed, "{task:?}");
    assert_eq!(
        bench.outcomes(id).await,
        [AttemptOutcome::Lost, AttemptOutcome::Success]
    );
    assert_ne!(task.worker, Some(first));
    until("the first attempt is dead", || alive(&ids).is_empty()).await;
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_renew_kills_before_its_lease_ends() {
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let ids = stubborn(&bench).await;
    bench.engine.store().close().await;
    let begin = tokio::time::Instant::now();
    until("it is dead", || alive(&ids).is_empty()).await;
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?} of a lease of 3 s",
        begin.elapsed()
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_clock_is_behind_kills_before_its_lease_ends_by_the_clock_of_the_database() {
    // Each renewal asks for a lease that ends where the one before it did.
    let bench = Bench::with_a_clock_that_stands_still(&[OPEN, ("worker.lease_seconds", "6")]).await;
    let worker = bench.worker().await;
    let ids = stubborn(&bench).await;
    until("it is dead", || alive(&ids).is_empty()).await;
    let now = bench.engine.store().database_time().await.expect("it tells");
    let lease_ends_at = the_live_worker(&bench).await.lease_expires_at;
    assert!(
        now < lease_ends_at,
        "killed at {now}, and the lease ended at {lease_ends_at}"
    );
    worker.stopped().await;
}
