//! `http` tasks through a worker, to real servers on this machine.

use std::future::pending;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_core::{Origin, TaskName, TraceParent};
use orchestratum_testkit::{HttpServer, LogLines, Seen};
use serde_json::json;
use tracing::Level;

use crate::support::{Bench, error, output, until};

async fn various(request: Seen) -> Response {
    match request.target.split('?').next().unwrap_or_default() {
        "/large" => "a".repeat(2 << 20).into_response(),
        "/busy" => (StatusCode::SERVICE_UNAVAILABLE, "busy").into_response(),
        "/never" => pending().await,
        _ => axum::Json(json!({"arrived": true})).into_response(),
    }
}

async fn server() -> HttpServer {
    HttpServer::start(various).await.expect("a server")
}

async fn bench(server: &HttpServer) -> Bench {
    Bench::with(&[("worker.http.allow", &server.address().to_string())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_and_its_answer_is_the_output() {
    let server = server().await;
    let mut bench = bench(&server).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    bench.origin = Origin {
        trace_parent: Some(TraceParent::new(trace).expect("well-formed")),
        request_id: None,
    };
    let worker = bench.worker().await;
    let input = json!({"method": "POST", "url": server.url("/a?b=c"), "body": {"d": 1}});
    let task = bench.run(json!({"name": "http", "input": input})).await;
    let answer = output(&task);
    assert_eq!(
        (&answer["status"], &answer["body"]),
        (&json!(200), &json!({"arrived": true}))
    );
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str(), seen.body.as_str()),
        ("POST", "/a?b=c", "{\"d\":1}")
    );
    assert_eq!(seen.headers["idempotency-key"], format!("{}-1", task.spec.id));
    assert_eq!(seen.headers["traceparent"], trace);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unexpected_status_uses_a_retry_and_the_key_stays_the_same() {
    let server = server().await;
    let bench = bench(&server).await;
    let worker = bench.worker().await;
    let input = json!({"url": server.url("/busy")});
    let task = bench
        .run(json!({"name": "http", "input": input, "max_retries": 2}))
        .await;
    assert_eq!(
        error(&task),
        "Failed: the answer has the status 503 Service Unavailable, which is not expected: busy"
    );
    assert_eq!(bench.outcomes(task.spec.id).await, [AttemptOutcome::Failed; 3]);
    let keys: Vec<String> = server
        .seen()
        .iter()
        .map(|seen| seen.headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys, vec![format!("{}-1", task.spec.id); 3]);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_is_refused_for_good_where_the_settings_do_not_allow_it() {
    let server = server().await;
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    for url in [
        server.url("/"),
        "http://localhost/".to_owned(),
        "http://169.254.169.254/".to_owned(),
    ] {
        let task = bench
            .run(json!({"name": "http", "input": {"url": url}, "max_retries": 5}))
            .await;
        let message = error(&task);
        assert!(
            message.starts_with("Failed: the host `") && message.contains("` is refused: it has a"),
            "{message}"
        );
        assert_eq!(task.life.attempt, 1, "{message}");
    }
    assert!(server.seen().is_empty());
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_ends_with_the_timeout_the_deadline_or_a_cancel() {
    let server = server().await;
    let bench = bench(&server).await;
    let worker = bench.worker().await;
    let never = json!({"url": server.url("/never")});
    let task = bench
        .run(json!({"name": "http", "input": never, "timeout_seconds": 0.3}))
        .await;
    assert!(error(&task).starts_with("TimedOut: "), "{}", error(&task));
    let task = bench
        .run(json!({"name": "http", "input": never, "ttl_seconds": 0.5}))
        .await;
    assert_eq!(task.life.status(), TaskStatus::Expired, "{task:?}");
    let asked = server.seen().len();
    let id = bench.create(json!({"name": "http", "input": never})).await;
    until("it is under way", || server.seen().len() > asked).await;
    bench.engine.cancel(id, None, None).await.expect("it is cancelled");
    assert_eq!(bench.ended(id).await.life.status(), TaskStatus::Cancelled);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_a_request_back_that_has_no_answer() {
    let server = server().await;
    let allowed = server.address().to_string();
    let bench = Bench::with(&[("worker.http.allow", &allowed), ("worker.drain_seconds", "0.2")]).await;
    let worker = bench.worker().await;
    let input = json!({"url": server.url("/never")});
    let id = bench.create(json!({"name": "http", "input": input})).await;
    until("it is under way", || !server.seen().is_empty()).await;
    worker.stopped().await;
    let task = bench.until(id, |task| task.life.status() == TaskStatus::Pending).await;
    assert_eq!(bench.outcomes(task.spec.id).await, [AttemptOutcome::Released]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_larger_than_an_output_may_be_is_not_stored() {
    let server = server().await;
    let bench = bench(&server).await;
    let worker = bench.worker().await;
    let input = json!({"url": server.url("/large")});
    let task = bench
        .run(json!({"name": "http", "input": input, "max_retries": 5}))
        .await;
    assert_eq!(
        error(&task),
        "OutputNotStorable: the body of the answer has more than 1048576 bytes"
    );
    assert_eq!(task.life.attempt, 1, "it would be the same again");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_send_no_requests_does_not_offer_it() {
    let bench = Bench::with(&[("worker.http.enabled", "false")]).await;
    let worker = bench.worker().await;
    bench.run(json!({"name": "echo"})).await;
    let workers = bench.engine.workers().await.expect("they are listed");
    let names: Vec<&str> = workers[0].registration.names.iter().map(TaskName::as_str).collect();
    assert_eq!(names, ["echo", "python", "shell"]);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_has_a_value_of_a_request() {
    const CANARY: &str = "canary-40ab";
    let lines = LogLines::of_this_process(Level::INFO);
    let server = server().await;
    let bench = bench(&server).await;
    let worker = bench.worker().await;
    for url in [
        server.url("/"),
        server.url("/busy"),
        server.url("/large"),
        "http://10.0.0.1/".to_owned(),
    ] {
        let headers = json!({"Authorization": CANARY, "Cookie": CANARY});
        let input = json!({
            "method": "PUT", "url": format!("{url}?{CANARY}"), "headers": headers, "body": CANARY
        });
        let task = bench.run(json!({"name": "http", "input": input})).await;
        until("it is logged", || lines.text().contains(&task.spec.id.to_string())).await;
        if task.life.status() != TaskStatus::Completed {
            assert!(!error(&task).contains(CANARY), "{}", error(&task));
        }
    }
    worker.stopped().await;
    let text = lines.text();
    assert_eq!(text.lines().find(|line| line.contains(CANARY)), None);
    assert!(
        text.contains("an `http` task may not go there"),
        "the refusal is logged"
    );
}
