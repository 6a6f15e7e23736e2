//! What arrives at a server.

use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse, Response};
use orchestratum_testkit::{HttpServer, Seen};
use serde_json::{Value, json};

use super::lab::{Lab, TRACE_PARENT, exchange, exchange_again, failure};

async fn echo(request: Seen) -> axum::Json<Value> {
    axum::Json(json!({"method": request.method, "target": request.target, "body": request.body}))
}

#[tokio::test]
async fn a_request_has_what_the_task_says_and_what_the_worker_adds() {
    let server = HttpServer::start(echo).await.expect("a server");
    let http = Lab::open_to(&[server.address()]).http();
    let headers = json!({"X-Api-Key": "a", "content-type": "application/vnd.a+json"});
    let input =
        json!({"method": "PUT", "url": server.url("/a%20b?c=d e#f"), "headers": headers, "body": {"b": 1.5, "a": 2}});
    let output = exchange_again(&http, input).await.expect("it answers");
    assert_eq!(output["status"], 200);
    assert_eq!(
        output["body"],
        json!({"method": "PUT", "target": "/a%20b?c=d%20e", "body": "{\"a\":2,\"b\":1.5}"})
    );
    assert_eq!(
        (&output["url"], &output["redirects"]),
        (&json!(server.url("/a%20b?c=d%20e")), &json!(0))
    );
    assert_eq!(output["headers"]["content-type"], "application/json");
    let seen = &server.seen()[0].headers;
    let header = |name: &str| seen.get(name).map_or("", String::as_str);
    assert_eq!(header("host"), server.address().to_string());
    assert_eq!(
        (header("x-api-key"), header("content-type")),
        ("a", "application/vnd.a+json")
    );
    assert_eq!((header("accept"), header("accept-encoding")), ("*/*", "gzip"));
    assert_eq!(header("traceparent"), TRACE_PARENT);
    assert_eq!(
        header("user-agent"),
        concat!("orchestratum/", env!("CARGO_PKG_VERSION"))
    );
    assert!(
        header("idempotency-key").ends_with("-2"),
        "the task and its run: {seen:?}"
    );
    assert_eq!(header("content-length"), "15");

    let text = json!({"method": "POST", "url": server.url("/"), "body": "a=ü"});
    exchange_again(&http, text).await.expect("it answers");
    let own = json!({"url": server.url("/"), "headers": {"User-Agent": "b", "Idempotency-Key": "c"}});
    exchange_again(&http, own).await.expect("it answers");
    let seen = server.seen();
    assert_eq!(
        (seen[1].body.as_str(), seen[1].headers["content-type"].as_str()),
        ("a=ü", "text/plain; charset=utf-8")
    );
    assert_eq!(
        (
            seen[2].headers["user-agent"].as_str(),
            seen[2].headers["idempotency-key"].as_str()
        ),
        ("b", "c")
    );
    assert_eq!(
        (seen[2].method.as_str(), seen[2].headers.get("content-type")),
        ("GET", None)
    );
}

#[tokio::test]
async fn every_method_is_sent_and_head_has_no_body() {
    let server = HttpServer::start(echo).await.expect("a server");
    let lab = Lab::open_to(&[server.address()]);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let input = json!({"method": method, "url": server.url("/")});
        let output = exchange(&lab, input).await.expect("it answers");
        if method == "HEAD" {
            assert_eq!((&output["body"], &output["status"]), (&json!(""), &json!(200)));
        } else {
            assert_eq!(output["body"]["method"], method);
        }
    }
}

/// `/n` redirects to `/n-1`, and `/0` answers.
async fn countdown(request: Seen) -> Response {
    match request.target[1..].parse::<u32>().expect("a number") {
        0 => "arrived".into_response(),
        left => (StatusCode::FOUND, [("location", format!("{}", left - 1))]).into_response(),
    }
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_more() {
    let server = HttpServer::start(countdown).await.expect("a server");
    let lab = Lab::open_to(&[server.address()]);
    let output = exchange(&lab, json!({"url": server.url("/5")}))
        .await
        .expect("it answers");
    assert_eq!((&output["body"], &output["redirects"]), (&json!("arrived"), &json!(5)));
    assert_eq!(output["url"], server.url("/0"));
    let error = exchange(&lab, json!({"url": server.url("/6")}))
        .await
        .expect_err("too many");
    assert_eq!(
        failure(&error),
        ("the request was redirected more than 5 times".to_owned(), false)
    );
    assert_eq!(server.seen().len(), 6 + 6);
}

#[tokio::test]
async fn a_redirect_is_an_answer_where_it_is_expected_or_not_to_be_followed() {
    let server = HttpServer::start(countdown).await.expect("a server");
    let lab = Lab::open_to(&[server.address()]);
    let input = json!({"url": server.url("/1"), "expected_statuses": ["3xx"]});
    let output = exchange(&lab, input).await.expect("it answers");
    assert_eq!(
        (&output["status"], &output["headers"]["location"]),
        (&json!(302), &json!("0"))
    );
    let input = json!({"url": server.url("/1"), "follow_redirects": false});
    let (message, retryable) = failure(&exchange(&lab, input).await.expect_err("not expected"));
    assert_eq!(message, "the answer has the status 302 Found, which is not expected");
    assert!(retryable);
}

#[tokio::test]
async fn another_server_gets_no_header_of_the_task_that_may_be_a_secret() {
    let other = HttpServer::start(echo).await.expect("a server");
    let there = other.url("/there");
    let server = HttpServer::start(move |_| {
        let there = there.clone();
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", there)]) }
    });
    let server = server.await.expect("a server");
    let lab = Lab::open_to(&[server.address(), other.address()]);
    let headers = json!({
        "Authorization": "Bearer a", "Cookie": "b", "X-Api-Key": "c", "Accept": "d/e", "Private-Token": "f"
    });
    let input = json!({"method": "POST", "url": server.url("/"), "headers": headers, "body": {"g": 1}});
    let output = exchange(&lab, input).await.expect("it answers");
    assert_eq!(
        output["body"],
        json!({"method": "POST", "target": "/there", "body": "{\"g\":1}"})
    );
    let (first, second) = (&server.seen()[0].headers, &other.seen()[0].headers);
    assert_eq!(first["authorization"], "Bearer a");
    let names: Vec<&str> = second.keys().map(String::as_str).collect();
    let expected = [
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "traceparent",
        "user-agent",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        (second["accept"].as_str(), &second["host"]),
        ("d/e", &other.address().to_string())
    );
}

#[tokio::test]
async fn cookies_of_an_answer_are_not_sent_back() {
    let set = AppendHeaders([("set-cookie", "a=1"), ("set-cookie", "b=2, 3")]);
    let server = HttpServer::start(move |_| async move { set });
    let server = server.await.expect("a server");
    let http = Lab::open_to(&[server.address()]).http();
    let output = exchange_again(&http, json!({"url": server.url("/")}))
        .await
        .expect("it answers");
    assert_eq!(output["headers"]["set-cookie"], json!(["a=1", "b=2, 3"]));
    exchange_again(&http, json!({"url": server.url("/")}))
        .await
        .expect("it answers");
    assert_eq!(server.seen()[1].headers.get("cookie"), None);
}
