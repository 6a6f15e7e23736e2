//! What a task may use: kept, or refused.

use orchestratum_store::Task;
use serde_json::{Value, json};

use crate::support::{Bench, error, output};

async fn run(bench: &Bench, code: &str, limits: Value) -> Task {
    let input = json!({"code": code});
    bench
        .run(json!({"name": "python", "input": input, "limits": limits}))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_processor_time_are_limited() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let large = "def main(x):\n    return len(bytearray(b'x') * (300 << 20))";
    // By the kernel where it counts the memory of all processes together, else by the interpreter.
    let message = error(&run(&bench, large, json!({"memory_mb": 256})).await);
    assert!(
        message.starts_with("OutOfMemory: the limit `memory_mb` is 256: ")
            && (message.contains(": its processes had") || message.ends_with("MemoryError")),
        "{message}"
    );
    let task = run(&bench, large, json!({"memory_mb": 1024, "cpu_seconds": 60})).await;
    assert_eq!(output(&task)["result"], 300 << 20);
    let message = error(&run(&bench, "while True: pass", json!({"cpu_seconds": 1})).await);
    assert_eq!(
        message,
        "Failed: the limit `cpu_seconds` is 1: killed by signal 24 (SIGXCPU)"
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_worker_cannot_keep_is_refused_for_good() {
    let bench = Bench::open(&[("worker.limits.memory_mb", "100")]).await;
    let worker = bench.worker().await;
    let cases = [
        (json!({"disk_mb": 5}), "`disk_mb`"),
        (json!({"memory_mb": 101}), "`memory_mb`"),
        (json!({"gpus": 5}), "`gpus`"),
    ];
    for (limits, expected) in cases {
        for (name, text) in [("python", "code"), ("shell", "command")] {
            let input = json!({text: "exit 1"});
            let task = bench
                .run(json!({"name": name, "input": input, "limits": limits, "max_retries": 5}))
                .await;
            let message = error(&task);
            assert!(
                message.starts_with("NotGranted: ") && message.contains(expected) && message.contains("this worker"),
                "{message}"
            );
            assert_eq!(task.life.attempt, 1, "{message}");
        }
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_leaves_the_code_nothing_is_told_as_that_and_not_tried_again() {
    let bench = Bench::with(&[("worker.isolation", "full")]).await;
    let worker = bench.worker().await;
    for megabytes in [1, 3] {
        let input = json!({"code": "pass"});
        let task = bench
            .run(json!({"name": "python", "input": input, "limits": {"memory_mb": megabytes}, "max_retries": 5}))
            .await;
        let expected = format!("NotGranted: the limit of {megabytes} MiB of memory leaves nothing for a program: ");
        assert!(error(&task).starts_with(&expected), "{}", error(&task));
        assert_eq!(task.life.attempt, 1);
    }
    assert_eq!(
        output(&bench.run_python("def main():\n    return 1").await)["result"],
        1
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_asks_for_no_disk_has_no_more_than_the_worker_grants() {
    let bench = Bench::with(&[("worker.isolation", "full"), ("worker.limits.disk_mb", "5")]).await;
    let worker = bench.worker().await;
    let write =
        "def main(megabytes):\n    with open('big', 'wb') as file:\n        return file.write(bytes(megabytes << 20))";
    let with = |megabytes: u64| json!({"name": "python", "input": {"code": write, "input": megabytes}});
    assert_eq!(output(&bench.run(with(4)).await)["result"], 4 << 20);
    let message = error(&bench.run(with(6)).await);
    assert!(
        message.starts_with("Failed: the limit `disk_mb` is 5, with at most 100000 files: ")
            && message.contains("No space left on device"),
        "{message}"
    );
    worker.stopped().await;
}
