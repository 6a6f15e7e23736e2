//! A worker that is told to stop leaves nothing behind and costs nobody a retry.

use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Bench, alive, until};

fn shell(script: &str, bench: &Bench) -> Value {
    let ids = bench.work_dir.path().join("ids");
    json!({"name": "shell", "input": {"script": script, "args": [ids]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_in_time_is_completed() {
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let ids = bench.work_dir.path().join("ids");
    let id = bench.create(shell("echo $$ >> $1; sleep 1", &bench)).await;
    until("it runs", || alive(&ids).len() == 1).await;
    worker.stopped().await;
    assert_eq!(bench.ended(id).await.life.status(), TaskStatus::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_is_handed_back_without_using_a_retry_and_another_worker_runs_it() {
    let bench = Bench::open(&[("worker.drain_seconds", "0.2")]).await;
    let first = bench.worker().await;
    let ids = bench.work_dir.path().join("ids");
    let script = "echo $$ >> $1; test $ORCHESTRATUM_ATTEMPT != 1 || sleep 100";
    let id = bench.create(shell(script, &bench)).await;
    until("it runs", || alive(&ids).len() == 1).await;
    first.stopped().await;
    assert_eq!(alive(&ids), Vec::<String>::new());
    let second = bench.worker().await;
    let task = bench.ended(id).await;
    assert_eq!(task.life.status(), TaskStatus::Completed);
    assert_eq!((task.life.retries_left, task.life.losses_left), (0, 3));
    assert_eq!(
        bench.outcomes(id).await,
        [AttemptOutcome::Released, AttemptOutcome::Success]
    );
    second.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_word_ends_the_waiting_at_once() {
    let bench = Bench::open(&[("worker.drain_seconds", "60"), ("worker.kill_grace_seconds", "60")]).await;
    let worker = bench.worker().await;
    let ids = bench.work_dir.path().join("ids");
    let id = bench
        .create(shell("trap '' TERM; echo $$ >> $1; while :; do sleep 1; done", &bench))
        .await;
    until("it runs", || alive(&ids).len() == 1).await;
    let begin = Instant::now();
    worker.stop.cancel();
    worker.kill.cancel();
    worker.stopped().await;
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    assert_eq!(alive(&ids), Vec::<String>::new());
    assert_eq!(bench.outcomes(id).await, [AttemptOutcome::Released]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_python_does_not_offer_it() {
    let bench = Bench::with(&[("worker.python", "/no/such/python3")]).await;
    let worker = bench.worker().await;
    let id = bench.create(json!({"name": "python", "input": {"code": ""}})).await;
    let echo = bench.run(json!({"name": "echo", "input": 1})).await;
    assert_eq!(echo.life.status(), TaskStatus::Completed);
    let task = bench.engine.task(id).await.expect("it exists");
    assert_eq!(task.life.status(), TaskStatus::Pending);
    worker.stopped().await;
}
