//! Attempts end when they must, with every process they started.

use std::fs;
use std::path::Path;
use std::time::Duration;

use orchestratum_core::task::{AttemptOutcome, TaskPatch, TaskStatus};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Bench, alive, error, until};

/// Python that never ends, with a child that ignores TERM and a daemon in a session of its own; each writes its id.
const ENDLESS: &str = r#"
import os, signal, subprocess, sys, time
def say():
    with open(sys.argv[1], "a") as ids:
        print(os.getpid(), file=ids)
def main(input):
    print("began", flush=True)
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say()
        while True: time.sleep(1)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            say()
            while True: time.sleep(1)
        os._exit(0)
    say()
    while True: pass
"#;

fn endless(ids: &Path) -> Value {
    json!({"code": ENDLESS, "args": [ids]})
}

async fn all_three_run(ids: &Path) {
    until("three processes run", || {
        fs::read_to_string(ids).is_ok_and(|text| text.lines().count() == 3)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_its_time_to_live_a_whole_tree_is_dead_and_the_task_expired() {
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let ids = bench.work_dir.path().join("ids");
    let begin = Instant::now();
    let id = bench
        .create(json!({"name": "python", "input": endless(&ids), "ttl_seconds": 2}))
        .await;
    all_three_run(&ids).await;
    let task = bench.ended(id).await;
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?} after its creation",
        begin.elapsed()
    );
    assert_eq!(task.life.status(), TaskStatus::Expired);
    assert!(error(&task).contains("it was stopped"), "{}", error(&task));
    assert_eq!(bench.outcomes(id).await, [AttemptOutcome::TimedOut]);
    assert_eq!(bench.logs(id).await, "began\n");
    assert_eq!(alive(&ids), Vec::<String>::new());
    worker.stopped().await;
    assert_eq!(bench.run_directories(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_in_good_order_when_asked_to_does_not_turn_expiry_into_success() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let input = json!({"script": "trap 'exit 0' TERM; while :; do sleep 0.05; done"});
    let task = bench
        .run(json!({"name": "shell", "input": input, "ttl_seconds": 0.7}))
        .await;
    assert_eq!(task.life.status(), TaskStatus::Expired);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_uses_a_retry() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let input = json!({"script": "test $ORCHESTRATUM_ATTEMPT = 2 || sleep 100"});
    let task = bench
        .run(json!({"name": "shell", "input": input, "timeout_seconds": 0.5, "max_retries": 1}))
        .await;
    assert_eq!((task.life.status(), task.life.retries_left), (TaskStatus::Completed, 0));
    let attempts = bench.attempts(task.spec.id).await;
    assert_eq!(attempts[0].outcome, AttemptOutcome::TimedOut);
    let reason = attempts[0].error.as_ref().map(|error| error.message.as_str());
    assert_eq!(reason, Some("the attempt took longer than its timeout of 0.5 s"));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_is_killed_soon_and_with_all_it_started() {
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let ids = bench.work_dir.path().join("ids");
    let id = bench
        .create(json!({"name": "python", "input": endless(&ids), "max_retries": 3}))
        .await;
    all_three_run(&ids).await;
    let begin = Instant::now();
    bench.engine.cancel(id, None, None).await.expect("it runs");
    let task = bench.ended(id).await;
    // The grace is 0.3 s here, and the next renewal would have been up to a second away.
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(task.life.status(), TaskStatus::Cancelled);
    assert_eq!(bench.outcomes(id).await, [AttemptOutcome::Cancelled]);
    assert_eq!(alive(&ids), Vec::<String>::new());
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_is_moved_while_the_task_runs_is_the_one_that_counts() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let patch = async |id, seconds| {
        let patch = TaskPatch {
            ttl_seconds: Some(seconds),
            ..TaskPatch::default()
        };
        bench.engine.patch(id, patch, None, None).await.expect("it runs");
    };
    let shell = |script: &str, ttl: f64| json!({"name": "shell", "input": {"script": script}, "ttl_seconds": ttl});
    let shortened = bench.create(shell("sleep 100", 100.0)).await;
    let extended = bench.create(shell("sleep 3", 1.5)).await;
    for id in [shortened, extended] {
        bench
            .until(id, |task| task.life.status() == TaskStatus::InProgress)
            .await;
    }
    patch(shortened, 1.0).await;
    patch(extended, 100.0).await;
    assert_eq!(bench.ended(shortened).await.life.status(), TaskStatus::Expired);
    assert_eq!(bench.ended(extended).await.life.status(), TaskStatus::Completed);
    worker.stopped().await;
}
