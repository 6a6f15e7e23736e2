//! What a task sends stays out of logs and of the messages of errors.

use std::future::pending;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orchestratum_testkit::{HttpServer, LogLines, Seen};
use serde_json::json;
use tracing::Level;

use super::lab::{Lab, exchange, raw_server};

const CANARY: &str = "canary-6c1f";

async fn various(request: Seen) -> Response {
    match request.target.split('?').next().unwrap_or_default() {
        "/fine" => (StatusCode::OK, [("x-secret", CANARY)], CANARY).into_response(),
        "/broken" => (StatusCode::BAD_GATEWAY, "no luck").into_response(),
        "/inside" => (
            StatusCode::FOUND,
            [("location", format!("http://10.0.0.1/{CANARY}?{CANARY}"))],
        )
            .into_response(),
        "/user" => (StatusCode::FOUND, [("location", format!("http://{CANARY}@a.example/"))]).into_response(),
        "/nowhere" => (StatusCode::FOUND, [("location", format!("http://:{CANARY}/"))]).into_response(),
        "/never" => pending().await,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn no_log_line_at_any_level_and_no_message_has_a_value_of_a_request() {
    let lines = LogLines::of_this_process(Level::TRACE);
    let server = HttpServer::start(various).await.expect("a server");
    let cut = raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_vec()).await;
    let silent = raw_server(Vec::new()).await;
    let lab = Lab::open_to(&[server.address(), cut, silent]).patience(Duration::from_millis(300));
    let mut urls: Vec<String> = ["fine", "broken", "inside", "user", "nowhere", "never"]
        .map(|path| server.url(&format!("/{path}")))
        .to_vec();
    urls.extend([format!("http://{cut}/"), format!("http://{silent}/")]);
    urls.extend(["http://10.0.0.1/", "http://no.such.example/", "http://8.8.8.8:22/"].map(str::to_owned));
    for url in urls {
        let headers = json!({"Authorization": format!("Bearer {CANARY}"), "Cookie": CANARY, "X-Token": CANARY});
        let input = json!({
            "method": "POST", "url": format!("{url}?token={CANARY}#{CANARY}"), "headers": headers, "body": {"a": CANARY}
        });
        if let Err(error) = exchange(&lab, input).await {
            let told = format!("{error} {:?}", error.ending());
            assert!(!told.contains(CANARY), "{url}: {told}");
        }
    }
    let text = lines.text();
    let line = text.lines().find(|line| line.contains(CANARY));
    assert_eq!(line, None);
    assert!(text.contains("hyper_util"), "the libraries below were heard, too");
}
