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
        message.starts_with("OutOfMemory: its processes had") || message.ends_with("MemoryError"),
        "{message}"
    );
    let task = run(&bench, large, json!({"memory_mb": 1024, "cpu_seconds": 60})).await;
    assert_eq!(output(&task)["result"], 300 << 20);
    let message = error(&run(&bench, "while True: pass", json!({"cpu_seconds": 1})).await);
    assert_eq!(message, "Failed: killed by signal 24 (SIGXCPU)");
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
                message.contains(expected) && message.contains("this worker"),
                "{message}"
            );
            assert_eq!(task.life.attempt, 1, "{message}");
        }
    }
    worker.stopped().await;
}
