//! The log lines about requests. They need a subscriber for the whole process, so they are a program of their own.

#[path = "api/common.rs"]
mod common;

use axum::body::Body;
use axum::http::{Method, Request};
use common::{Api, request};
use orchestratum_engine::keys::Scope;
use orchestratum_testkit::LogLines;
use serde_json::Value;
use tracing::Level;

/// Level and key of the answer to the request of this id.
fn about(lines: &LogLines, id: &str) -> (String, Value) {
    let mut documents = lines.documents().into_iter();
    let line = documents
        .find(|line| line["message"] == "request answered" && line["span"]["request.id"] == id)
        .unwrap_or_else(|| panic!("no line about {id} in\n{}", lines.text()));
    (
        line["level"].as_str().expect("a level").to_owned(),
        line["span"]["key.id"].clone(),
    )
}

#[tokio::test]
async fn only_a_request_with_a_key_is_worth_a_line_at_the_usual_level() {
    let lines = LogLines::of_this_process(Level::DEBUG);
    let api = Api::start().await;
    let reader = api.key(&[Scope::TasksRead]).await;
    let with_key = |path: &str| request(Method::GET, path);
    let without = |path: &str| Request::get(path);
    let with_other = |path: &str| Request::get(path).header("x-api-key", reader.as_str());
    let cases = [
        ("list", with_key("/api/tasks"), 200, "INFO", true),
        (
            "none",
            with_key("/api/tasks/01936e5a-7c00-7000-8000-000000000000"),
            404,
            "INFO",
            true,
        ),
        ("scope", with_other("/api/keys"), 403, "INFO", true),
        ("no-key", without("/api/tasks"), 401, "DEBUG", false),
        (
            "wrong-key",
            without("/api/tasks").header("x-api-key", "orch_x_y"),
            401,
            "DEBUG",
            false,
        ),
        ("no-route", without("/api/nothing"), 404, "DEBUG", false),
        ("live", without("/health/live"), 200, "DEBUG", false),
    ];
    for (id, request, status, level, known) in cases {
        let request = request.header("x-request-id", id).body(Body::empty());
        let answer = api.send(request.expect("a request")).await;
        assert_eq!(answer.status.as_u16(), status, "{id}");
        let (logged, key) = about(lines, id);
        assert_eq!((logged.as_str(), key.is_string()), (level, known), "{id}: {key}");
    }
    let figures = api.get("/metrics").await.text();
    assert!(
        figures.contains("route=\"/api/tasks\",status=\"401\"} 2"),
        "all of them are counted:\n{figures}"
    );
}
