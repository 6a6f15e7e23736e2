//! How many bytes of bodies and answers may be held at once, over all requests.

use std::sync::Arc;

use crate::common::{Api, request};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use futures::{StreamExt, stream};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::oneshot;
use tower::ServiceExt;

const MEBIBYTE: usize = 1 << 20;

/// The least that may be set.
const LEAST: &str = "16777216";

/// A batch of one task, with `padding` spaces in front.
fn batch(padding: usize) -> String {
    format!("{}{{\"tasks\": [{{\"name\": \"echo\"}}]}}", " ".repeat(padding))
}

#[tokio::test]
async fn a_body_beyond_what_may_be_held_waits_a_moment_and_is_turned_away() {
    let api = Arc::new(Api::start_with(&[("api.bodies_max_bytes", LEAST)]).await);
    let (was_read, read) = oneshot::channel::<()>();
    let (go_on, going_on) = oneshot::channel::<()>();
    let padding = (0..15).map(|_| Ok::<_, std::io::Error>(" ".repeat(MEBIBYTE)));
    let rest = async move {
        was_read.send(()).expect("the test waits");
        going_on.await.expect("the test says so");
        Ok(batch(0))
    };
    let body = stream::iter(padding).chain(stream::once(rest));
    let slow = tokio::spawn({
        let api = Arc::clone(&api);
        async move {
            let slow = request(Method::POST, "/api/tasks/batch").header("content-type", "application/json");
            api.send(slow.body(Body::from_stream(body)).expect("a request")).await
        }
    });
    read.await.expect("fifteen mebibytes are read");

    let refused = api.post_with("/api/tasks/batch", &[], &batch(2 * MEBIBYTE)).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "1")
    );
    refused.problem(503, "overloaded");
    api.create(json!({"name": "echo"})).await;

    go_on.send(()).expect("the body is being read");
    assert_eq!(slow.await.expect("no panic").status, StatusCode::CREATED);
    let again = api.post_with("/api/tasks/batch", &[], &batch(2 * MEBIBYTE)).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert_eq!(api.count().await, 3);
}

#[tokio::test]
async fn large_answers_that_nobody_takes_leave_no_room_for_more_of_them() {
    let api = Api::start_with(&[("api.answers_max_bytes", LEAST)]).await;
    let input = "x".repeat(1_000_000);
    for _ in 0..7 {
        api.create(json!({"name": "echo", "input": input})).await;
    }
    let list = async || {
        let list = request(Method::GET, "/api/tasks")
            .body(Body::empty())
            .expect("a request");
        let answer = api.router.clone().oneshot(list).await.expect("a router always answers");
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers().contains_key("content-length"));
        answer
    };
    let (first, second) = (list().await, list().await);
    let refused = api.get("/api/tasks").await;
    assert_eq!(refused.header("retry-after"), "1");
    refused.problem(503, "overloaded");
    assert_eq!(
        api.get("/api/tasks?limit=1").await.status,
        StatusCode::OK,
        "there is room for a small one"
    );

    let mut body = first.into_body();
    let frame = body.frame().await.expect("a frame").expect("no error");
    drop(body);
    api.get("/api/tasks").await.problem(503, "overloaded");
    drop(frame);
    assert_eq!(api.get("/api/tasks").await.status, StatusCode::OK);
    drop(second);
}

#[tokio::test]
async fn what_anyone_may_ask_for_takes_no_room() {
    let api = Api::start_with(&[("api.answers_max_bytes", LEAST)]).await;
    let input = "x".repeat(1_000_000);
    for _ in 0..7 {
        api.create(json!({"name": "echo", "input": input})).await;
    }
    let mut left_lying = Vec::new();
    let mut bytes = 0;
    while bytes <= LEAST.parse::<u64>().expect("a number") {
        let bundle = axum::http::Request::get("/swagger/swagger-ui-bundle.js").body(Body::empty());
        let answer = api.router.clone().oneshot(bundle.expect("a request")).await;
        let answer = answer.expect("a router always answers");
        bytes += answer.body().size_hint().exact().expect("a known size");
        left_lying.push(answer);
    }
    assert_eq!(api.get("/api/tasks").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_a_call_has_changed_is_told_once_there_is_room() {
    let room_is_waited_for = [("api.answers_max_bytes", LEAST), ("api.write_timeout_seconds", "0.3")];
    let api = Arc::new(Api::start_with(&room_is_waited_for).await);
    let create = async || {
        let tasks = vec![json!({"name": "echo", "input": "x".repeat(1_000_000)}); 9];
        let create = request(Method::POST, "/api/tasks/batch")
            .header("content-type", "application/json")
            .body(Body::from(json!({"tasks": tasks}).to_string()));
        let create = create.expect("a request");
        api.router
            .clone()
            .oneshot(create)
            .await
            .expect("a router always answers")
    };
    let first = create().await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let second = create().await;
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    let told = second.into_body().collect().await.expect("a body").to_bytes();
    assert!(
        String::from_utf8_lossy(&told).contains("the change was made"),
        "{told:?}"
    );
    assert_eq!(api.count().await, 18);
    let (third, ()) = tokio::join!(create(), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        drop(first);
    });
    assert_eq!(third.status(), StatusCode::CREATED);
}
