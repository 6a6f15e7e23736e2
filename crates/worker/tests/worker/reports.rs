//! Reports that cannot be stored end what they are about, and nothing runs again for ever.

use std::process::Command;

use orchestratum_core::task::AttemptOutcome;
use serde_json::json;

use crate::support::{Bench, error, until};

/// Makes the database refuse some rows, from outside: nothing that a worker sends should make it.
fn refuse(database: &str, table: &str) {
    let program = "import sqlite3, sys\n\
                   with sqlite3.connect(sys.argv[1], timeout=10) as database:\n    \
                   database.execute('CREATE TRIGGER refuse_' + sys.argv[2] + ' BEFORE INSERT ON ' + sys.argv[2] +\n    \
                   ' BEGIN SELECT RAISE(ABORT, \"refused\"); END')";
    let ended = Command::new("python3").args(["-c", program, database, table]).status();
    assert!(ended.expect("python3 is there").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_for_good_ends_the_attempt_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("tasks.db").display().to_string();
    let bench = Bench::with(&[("database.url", &format!("sqlite://{database}"))]).await;
    refuse(&database, "task_logs");
    let worker = bench.worker().await;
    let task = bench
        .run(json!({"name": "shell", "input": {"command": "echo refused"}, "max_retries": 5}))
        .await;
    let message = error(&task);
    assert!(
        message.starts_with("OutputNotStorable: the database refused"),
        "{message}"
    );
    assert_eq!(bench.outcomes(task.spec.id).await, [AttemptOutcome::Failed]);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_larger_than_an_output_is_a_failure_and_keeps_its_end() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let message = error(
        &bench
            .run_python("raise ValueError('\\x01' * 3_000_000 + 'the end')")
            .await,
    );
    assert!(
        message.starts_with("Failed: ") && message.ends_with("the end"),
        "{}",
        message.len()
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn success_counts_when_a_cancel_comes_in_between() {
    let bench = Bench::open(&[("worker.kill_grace_seconds", "20")]).await;
    let worker = bench.worker().await;
    let begun = bench.work_dir.path().join("begun");
    let shell = "trap 'echo saved; exit 0' TERM; touch \"$1\"; while :; do sleep 0.05; done";
    let python = "import signal, sys, time\n\
                  def main(x):\n    \
                  told = []\n    \
                  signal.signal(signal.SIGTERM, lambda *_: told.append(1))\n    \
                  open(sys.argv[1], 'w').close()\n    \
                  while not told: time.sleep(0.05)\n    \
                  RETURN\n";
    let returns = python.replace("RETURN", "return None");
    let leaves = python.replace("RETURN", "sys.exit(0)");
    let cases = [
        (
            "shell",
            json!({"script": shell, "args": [begun]}),
            AttemptOutcome::Success,
        ),
        (
            "python",
            json!({"code": returns, "args": [begun]}),
            AttemptOutcome::Success,
        ),
        (
            "python",
            json!({"code": leaves, "args": [begun]}),
            AttemptOutcome::Cancelled,
        ),
    ];
    for (name, input, outcome) in cases {
        let id = bench.create(json!({"name": name, "input": input})).await;
        until("it runs", || begun.exists()).await;
        bench.engine.cancel(id, None, None).await.expect("it runs");
        bench.ended(id).await;
        assert_eq!(bench.outcomes(id).await, [outcome], "{input}");
        std::fs::remove_file(&begun).expect("it was made");
    }
    worker.stopped().await;
}
