//! What is logged for an attempt says for whom, whatever runs it.

use std::io;
use std::sync::{Arc, Mutex};

use orchestratum_core::{Origin, RequestId, TaskId, TraceParent};
use serde_json::{Value, json};

use crate::support::{Bench, until};

/// What this process logs, a JSON document a line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while writing").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The line about the end of a task's attempt.
    fn report_of(&self, task: TaskId) -> Option<Value> {
        let text = String::from_utf8(self.0.lock().expect("no panic while writing").clone()).expect("UTF-8");
        let mut lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let is_its = |line: &Value| line["task.id"] == task.to_string().as_str() && line["reason"] == "reported";
        lines.find(is_its)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_inside_the_worker_and_of_programs_are_logged_under_the_same_span() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone())
        .init();
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
        until("it is logged", || lines.report_of(id).is_some()).await;
        let line = lines.report_of(id).expect("it is logged");
        let expected = json!({
            "name": "attempt", "task.id": id.to_string(), "attempt": 1, "traceparent": trace, "request.id": "caller-1"
        });
        assert_eq!(line["span"], expected);
    }
    worker.stopped().await;
}
