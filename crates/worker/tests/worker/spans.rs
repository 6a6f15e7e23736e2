//! What is logged for an attempt says for whom, whatever runs it.

use orchestratum_core::{Origin, RequestId, TaskId, TraceParent};
use orchestratum_testkit::LogLines;
use serde_json::{Value, json};
use tracing::Level;

use crate::support::{Bench, until};

/// The line about the end of a task's attempt.
fn report_of(lines: &LogLines, task: TaskId) -> Option<Value> {
    let is_its = |line: &Value| line["task.id"] == task.to_string().as_str() && line["reason"] == "reported";
    lines.documents().into_iter().find(is_its)
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_inside_the_worker_and_of_programs_are_logged_under_the_same_span() {
    let lines = LogLines::of_this_process(Level::INFO);
    let mut bench = Bench::new().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    bench.origin = Origin {
        trace_parent: Some(TraceParent::new(trace).expect("well-formed")),
        request_id: Some(RequestId::new("caller-1").expect("plain")),
    };
    let worker = bench.worker().await;
    for task in [
        json!({"name": "echo"}),
        json!({"name": "shell", "input": {"script": "true"}}),
    ] {
        let id = bench.run(task).await.spec.id;
        until("it is logged", || report_of(lines, id).is_some()).await;
        let line = report_of(lines, id).expect("it is logged");
        let expected = json!({
            "name": "attempt", "task.id": id.to_string(), "attempt": 1, "traceparent": trace, "request.id": "caller-1"
        });
        assert_eq!(line["span"], expected);
    }
    worker.stopped().await;
}
