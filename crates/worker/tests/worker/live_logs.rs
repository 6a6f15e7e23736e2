//! What programs write, seen while they run.

use std::path::PathBuf;
use std::time::Duration;

use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_store::{LOG_CHUNK_BYTES, StoredLogChunk};
use serde_json::json;

use crate::support::{BOUND, Bench, OPEN, output};

/// Waits until so much was written.
async fn until_logged(bench: &Bench, id: TaskId, text: &str) {
    let start = tokio::time::Instant::now();
    while bench.logs(id).await != text {
        assert!(start.elapsed() < BOUND, "{:?}", bench.logs(id).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn chunks(bench: &Bench, id: TaskId) -> Vec<StoredLogChunk> {
    let logs = bench.engine.store().logs(id, None, None).await;
    logs.expect("they are read").chunks
}

/// A task that runs a script, whose first argument is a file that a test makes when the script is to go on.
async fn started(bench: &Bench, script: &str) -> (TaskId, PathBuf) {
    let go = bench.work_dir.path().join("go");
    let script = format!("wait_for_go() {{ while [ ! -e \"$1\" ]; do sleep 0.02; done; }}\n{script}");
    let task = json!({"name": "shell", "input": {"script": script, "args": [go]}});
    (bench.create(task).await, go)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_prints_is_seen_before_it_ends_and_stored_once() {
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let (id, go) = started(&bench, "echo first; echo warning >&2; wait_for_go \"$1\"; echo second").await;
    until_logged(&bench, id, "first\nwarning\n").await;
    let running = bench.engine.task(id).await.expect("it exists");
    assert_eq!(running.life.status(), TaskStatus::InProgress);
    std::fs::write(&go, "").expect("written");
    let task = bench.ended(id).await;
    assert_eq!(bench.logs(id).await, "first\nwarning\nsecond\n");
    let numbers: Vec<u32> = chunks(&bench, id)
        .await
        .iter()
        .map(|stored| stored.chunk.sequence)
        .collect();
    assert_eq!(numbers, [0, 1, 2]);
    let output = output(&task);
    assert_eq!(
        (&output["stdout"], &output["stderr"]),
        (&json!("first\nsecond\n"), &json!("warning\n")),
        "the output is whole"
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_program_is_seen_line_by_line() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let code = "import time\ndef main():\n    print('waits')\n    time.sleep(3600)";
    let id = bench.create(json!({"name": "python", "input": {"code": code}})).await;
    until_logged(&bench, id, "waits\n").await;
    bench.engine.cancel(id, None, None).await.expect("it runs");
    bench.ended(id).await;
    assert_eq!(bench.logs(id).await, "waits\n");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_character_that_comes_in_two_parts_is_whole() {
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let (id, go) = started(&bench, "printf 'a\\303'; wait_for_go \"$1\"; printf '\\251\\377'").await;
    until_logged(&bench, id, "a").await;
    std::fs::write(&go, "").expect("written");
    bench.ended(id).await;
    assert_eq!(bench.logs(id).await, "aé\u{fffd}");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_flood_the_first_half_is_seen_and_the_rest_comes_with_the_end() {
    const MOST: usize = 200_000;
    let bench = Bench::open(&[("worker.log_max_bytes", "200000")]).await;
    let worker = bench.worker().await;
    let script = "head -c 1000000 /dev/zero | tr '\\0' x; echo; wait_for_go \"$1\"; echo the end";
    let (id, go) = started(&bench, script).await;
    let half = "x".repeat(MOST / 2);
    until_logged(&bench, id, &half).await;
    std::fs::write(&go, "").expect("written");
    let task = bench.ended(id).await;
    let logs = bench.logs(id).await;
    assert_eq!(
        Some(logs.as_str()),
        output(&task)["stdout"].as_str(),
        "as it was without being seen"
    );
    assert!(logs.starts_with(&half) && logs.ends_with("xx\nthe end\n"));
    assert!(
        logs.contains("\n[... 800009 bytes cut ...]\n"),
        "{}",
        &logs[MOST / 2..MOST / 2 + 50]
    );
    let chunks = chunks(&bench, id).await;
    assert!(chunks.iter().all(|stored| stored.chunk.text.len() <= LOG_CHUNK_BYTES));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_attempt_that_was_lost_what_was_seen_is_kept() {
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let script = "test $ORCHESTRATUM_ATTEMPT = 1 || { echo again; exit; }\necho before; wait_for_go \"$1\"; echo never";
    let (id, go) = started(&bench, script).await;
    until_logged(&bench, id, "before\n").await;
    let late = bench.engine.clock().now() + Duration::from_secs(3_600);
    bench.engine.store().mark_dead(late).await.expect("it is marked");
    bench.ended(id).await;
    std::fs::write(&go, "").expect("written");
    assert_eq!(
        bench.outcomes(id).await,
        [AttemptOutcome::Lost, AttemptOutcome::Success]
    );
    assert_eq!(bench.logs(id).await, "before\nagain\n");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_soon_or_says_nothing_costs_no_statement() {
    let (bench, appends) = Bench::counting_appends(&[]).await;
    let worker = bench.worker().await;
    for _ in 0..5 {
        bench.run_shell("echo short").await;
    }
    bench.run_shell("sleep 1.5").await;
    assert_eq!(appends(), 0);
    let task = bench.run_shell("echo once; sleep 1.5").await;
    assert_eq!(appends(), 1);
    assert_eq!(bench.logs(task.spec.id).await, "once\n");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_of_a_worker_share_a_statement() {
    let (bench, appends) = Bench::counting_appends(&[OPEN]).await;
    let worker = bench.worker().await;
    let go = bench.work_dir.path().join("go");
    let script = "echo begun; while [ ! -e \"$1\" ]; do sleep 0.02; done; echo now; sleep 2";
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let input = json!({"script": script, "args": [go]});
        tasks.push(bench.create(json!({"name": "shell", "input": input})).await);
    }
    for id in &tasks {
        until_logged(&bench, *id, "begun\n").await;
    }
    let before = appends();
    std::fs::write(&go, "").expect("written");
    for id in tasks {
        until_logged(&bench, id, "begun\nnow\n").await;
        bench.ended(id).await;
    }
    let statements = appends() - before;
    assert!((1..=2).contains(&statements), "{statements} statements");
    worker.stopped().await;
}
