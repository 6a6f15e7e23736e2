//! Bad requests: always a problem document that says what is wrong, never a 500, nothing half-written.

use std::time::Duration;

use crate::common::{Api, request};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn what_the_router_refuses_is_a_problem_too() {
    let api = Api::start().await;
    for path in [
        "/api",
        "/api/nothing",
        "/api/tasks/",
        "/api/saga",
        "/docs/errors/nothing",
        "/swagger/nothing.js",
    ] {
        api.get(path).await.problem(404, "route_not_found");
    }
    for (method, path, allowed) in [
        (Method::POST, "/", "GET"),
        (Method::PUT, "/api/tasks", "POST"),
        (Method::POST, "/api/tasks/stats", "GET"),
        (Method::DELETE, "/health/live", "GET"),
        (Method::from_bytes(b"INVENTED").expect("a method"), "/api/keys", "GET"),
    ] {
        let answer = api
            .send(request(method, path).body(Body::empty()).expect("a request"))
            .await;
        answer.problem(405, "method_not_allowed");
        assert!(
            answer.header("allow").contains(allowed),
            "{path}: {}",
            answer.header("allow")
        );
    }
}

#[tokio::test]
async fn a_body_must_be_json_by_name_and_by_nature() {
    let api = Api::start().await;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
        "text/json",
    ] {
        api.post_with("/api/tasks", &[("content-type", content_type)], r#"{"name": "echo"}"#)
            .await
            .problem(415, "unsupported_media_type");
    }
    let missing = request(Method::POST, "/api/tasks")
        .body(Body::from(r#"{"name": "echo"}"#))
        .expect("a request");
    api.send(missing).await.problem(415, "unsupported_media_type");
    for body in [
        "",
        "{",
        "{\"name\": \"echo\"",
        "{'name': 'echo'}",
        "{\"name\": \"echo\",}",
        "nul",
        "{\"name\": \"a\nb\"}",
        "{} {}",
        "[1",
    ] {
        api.post_with("/api/tasks", &[], body)
            .await
            .problem(400, "malformed_json");
    }
    let invalid_utf8 = request(Method::POST, "/api/tasks").header("content-type", "application/json");
    let invalid_utf8 = invalid_utf8
        .body(Body::from(&b"{\"name\": \"\xff\xfe\"}"[..]))
        .expect("a request");
    api.send(invalid_utf8).await.problem(400, "malformed_json");
    let charset = [("content-type", "Application/JSON; charset=utf-8")];
    assert_eq!(
        api.post_with("/api/tasks", &charset, r#"{"name": "echo"}"#)
            .await
            .status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_settings_allow_an_input_to_be() {
    let api = Api::start_with(&[("tasks.input_max_bytes", "4194304")]).await;
    let input = "x".repeat(3 << 20);
    let id = api.create(json!({"name": "echo", "input": input})).await;
    let patched = api
        .patch(&format!("/api/tasks/{id}"), &[], &json!({"input": format!("{input}x")}))
        .await;
    assert_eq!(patched.status, StatusCode::OK);
    let too_long = json!({"name": "echo", "input": "x".repeat(5 << 20)}).to_string();
    api.post_with("/api/tasks", &[], &too_long)
        .await
        .problem(413, "body_too_large");
}

#[tokio::test]
async fn each_size_limit_holds_at_its_edge() {
    let api = Api::start().await;
    let of_size = |size: usize| {
        let frame = r#"{"name":"echo","input":""}"#.len();
        format!(r#"{{"name":"echo","input":"{}"}}"#, "x".repeat(size - frame))
    };
    assert_eq!(
        api.post_with("/api/tasks", &[], &of_size(1 << 20)).await.status,
        StatusCode::CREATED
    );
    // There is room for what is beside the input.
    let largest = (1 << 20) + (128 << 10);
    let too_long = api.post_with("/api/tasks", &[], &of_size(largest)).await;
    assert_eq!(too_long.problem(422, "invalid_body")["errors"][0]["pointer"], "/input");
    for size in [largest + 1, 10 << 20] {
        let refused = api
            .post_with("/api/tasks", &[], &of_size(size))
            .await
            .problem(413, "body_too_large");
        let detail = refused["detail"].as_str().expect("a detail");
        for named in ["1179648 bytes", "tasks.input_max_bytes", "/api/tasks/batch"] {
            assert!(detail.contains(named), "{detail}");
        }
    }
    let padded = format!("{{\"tasks\": [{{\"name\": \"echo\"}}]}}{}", " ".repeat(16 << 20));
    api.post_with("/api/tasks/batch", &[], &padded)
        .await
        .problem(413, "body_too_large");
    // Without a content length the bytes are counted as they come.
    let stream = futures::stream::iter((0..37).map(|_| Ok::<_, std::io::Error>("x".repeat(1 << 15))));
    let streamed = request(Method::POST, "/api/tasks").header("content-type", "application/json");
    api.send(streamed.body(Body::from_stream(stream)).expect("a request"))
        .await
        .problem(413, "body_too_large");

    let nested = |depth: usize| {
        format!(
            r#"{{"name": "echo", "input": {}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert_eq!(
        api.post_with("/api/tasks", &[], &nested(64)).await.status,
        StatusCode::CREATED
    );
    for depth in [65, 1_000, 100_000] {
        let refused = api
            .post_with("/api/tasks", &[], &nested(depth))
            .await
            .problem(422, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], "/input");
    }
}

#[tokio::test]
async fn an_array_is_no_second_form_of_an_object() {
    let api = Api::start().await;
    let id = api.create(json!({"name": "echo", "target": "nobody"})).await;
    let path = format!("/api/tasks/{id}");
    for (path, body, pointer) in [
        ("/api/keys".to_owned(), r#"["ci", ["admin"]]"#, ""),
        ("/api/tasks".to_owned(), r#"[null, "echo"]"#, ""),
        (
            "/api/tasks".to_owned(),
            r#"{"name": "echo", "limits": [100]}"#,
            "/limits",
        ),
        (
            "/api/tasks".to_owned(),
            r#"{"name": "echo", "backoff": ["none"]}"#,
            "/backoff",
        ),
        ("/api/tasks/batch".to_owned(), r#"[[{"name": "echo"}]]"#, ""),
        (
            "/api/tasks/batch".to_owned(),
            r#"{"tasks": [[null, "echo"]]}"#,
            "/tasks/0",
        ),
        (format!("{path}/cancel"), r#"["because"]"#, ""),
        (format!("{path}/retry"), "[]", ""),
    ] {
        let problem = api.post_with(&path, &[], body).await.problem(422, "invalid_body");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{path} {body}: {problem}");
        let message = problem["errors"][0]["message"].as_str().expect("a text");
        assert!(message.ends_with("expected an object"), "{body}: {message}");
        let whole = if pointer.is_empty() { "the body:" } else { pointer };
        assert_eq!(problem["detail"], format!("{whole} {message}"));
    }
    assert_eq!(api.count().await, 1, "but for the one that was made as it must be");
}

#[tokio::test]
async fn what_was_expected_is_said_in_the_words_of_json() {
    let api = Api::start().await;
    for (field, value, expected) in [
        ("ttl_seconds", json!("5"), "a number"),
        ("backoff", json!("none"), "an object"),
        ("labels", json!([1]), "an object"),
    ] {
        let answer = api.post("/api/tasks", &json!({"name": "echo", field: value})).await;
        let problem = answer.problem(422, "invalid_body");
        let message = problem["errors"][0]["message"].as_str().expect("a text");
        assert!(message.ends_with(&format!("expected {expected}")), "{field}: {message}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused_as_such() {
    let api = Api::start().await;
    for (path, encoding) in [
        ("/api/tasks", "gzip"),
        ("/api/tasks/batch", "br"),
        ("/api/keys", "identity, gzip"),
    ] {
        let answer = api
            .post_with(path, &[("content-encoding", encoding)], "\u{1f}not JSON")
            .await;
        let problem = answer.problem(415, "unsupported_media_type");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(
            detail.ends_with(&format!("must be identity, not {encoding}")),
            "{detail}"
        );
        assert_eq!(answer.header("accept-encoding"), "identity");
    }
    let plain = [("content-encoding", "Identity")];
    let taken = api.post_with("/api/tasks", &plain, r#"{"name": "echo"}"#).await;
    assert_eq!(taken.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_unknown_field_is_named() {
    let api = Api::start().await;
    let refused = api
        .post("/api/tasks", &json!({"name": "echo", "tll_seconds": 5}))
        .await
        .problem(422, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/tll_seconds");
    assert!(
        refused["errors"][0]["message"]
            .as_str()
            .expect("a message")
            .contains("ttl_seconds"),
        "{refused}"
    );
    let missing = api.post("/api/tasks", &json!({})).await.problem(422, "invalid_body");
    assert_eq!(missing["errors"][0]["pointer"], "/name");
    let twice = api
        .post_with("/api/tasks", &[], r#"{"name": "a", "name": "b"}"#)
        .await
        .problem(422, "invalid_body");
    assert_eq!(twice["errors"][0]["pointer"], "/name");
}

#[tokio::test]
async fn paths_and_queries_are_checked() {
    let api = Api::start().await;
    for id in [
        "1",
        "01936e5a7c0070008000000000000000",
        "%00",
        "%ff",
        "..%2f..%2fetc",
        "urn:uuid:01936e5a-7c00-7000-8000-000000000000",
    ] {
        for call in ["", "/attempts", "/logs", "/why"] {
            api.get(&format!("/api/tasks/{id}{call}"))
                .await
                .problem(422, "invalid_path");
        }
    }
    for (query, pointer) in [
        ("status=pending", "/status"),
        ("status=", "/status"),
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=1e2", "/limit"),
        ("limit=5&limit=6", "/limit"),
        ("cursor=%00", "/cursor"),
        ("cursor=abc", "/cursor"),
        ("saga_id=x", "/saga_id"),
        ("parent_id=x", "/parent_id"),
        ("name=a%20b", "/name"),
        ("target=%F0%9F%98%80", "/target"),
        ("created_after=yesterday", "/created_after"),
        ("created_before=2026-13-01T00:00:00Z", "/created_before"),
        ("label.=x", "/label."),
        ("label.a=%00", "/label.a"),
        ("label.a=1&label.a=2", "/label.a"),
        ("satus=Failed", "/satus"),
    ] {
        let refused = api
            .get(&format!("/api/tasks?{query}"))
            .await
            .problem(422, "invalid_query");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{query}: {refused}");
    }
    let named = api.get("/api/tasks?status=done").await.problem(422, "invalid_query");
    assert!(
        named["detail"]
            .as_str()
            .expect("a detail")
            .contains("Pending, InProgress, Completed"),
        "{named}"
    );
    let id = api.create(json!({"name": "echo"})).await;
    for wait in ["-1", "NaN", "inf", "soon", "1e400"] {
        api.get(&format!("/api/tasks/{id}?wait_seconds={wait}"))
            .await
            .problem(422, "invalid_query");
    }
}

/// Values that are wrong, or strange, for one field or another.
fn hostile_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(-1e308),
        json!(5e-324),
        json!(""),
        json!("\0"),
        json!("a\0b"),
        json!("'; DROP TABLE tasks; --"),
        json!("${jndi:ldap://127.0.0.1/x}"),
        json!("../../etc/passwd"),
        json!("\u{202e}\u{feff}\u{1b}[31m"),
        json!("x".repeat(10_000)),
        json!("\u{10ffff}".repeat(1_000)),
        json!([]),
        json!([null]),
        json!({}),
        json!({"\0": "\0"}),
        json!({"": ""}),
        json!({"kind": "fixed"}),
        json!({"kind": "none", "delay_seconds": 1}),
        json!({"kind": "exponential", "delay_seconds": -1}),
        json!({"kind": 5}),
        json!({"x".repeat(64): "y"}),
        json!({"a": "y".repeat(256)}),
        json!({"a": {"b": {"c": []}}}),
        json!({"memory_mb": 0}),
        json!({"memory_mb": 4_294_967_295_u32}),
        json!("9999-12-31T23:59:59Z"),
        json!("0000-01-01T00:00:00Z"),
        json!("-9999-01-01T00:00:00Z"),
        json!("2026-12-01T00:00:00"),
        json!("2026-12-01T00:00:60Z"),
        json!(
            (0..40)
                .map(|index| (format!("k{index}"), json!("v")))
                .collect::<serde_json::Map<_, _>>()
        ),
    ]
}

const FIELDS: [&str; 21] = [
    "id",
    "name",
    "description",
    "input",
    "target",
    "priority",
    "ttl_seconds",
    "timeout_seconds",
    "max_retries",
    "max_losses",
    "backoff",
    "scheduled_at",
    "delay_seconds",
    "labels",
    "limits",
    "on_success",
    "on_failure",
    "on_cancel",
    "on_expire",
    "unknown",
    "\0",
];

/// Some of these are fine, such as any JSON as input. Whatever is answered: a create that is not a 201 stored nothing,
/// and nothing is ever a failure of the server.
#[tokio::test]
async fn hostile_values_in_every_field_never_break_anything() {
    let api = Api::start().await;
    let mut stored = 0;
    let mut refused = 0;
    for field in FIELDS {
        for value in hostile_values() {
            let mut body = json!({"name": "echo"});
            body[field] = value;
            let answer = api.post("/api/tasks", &body).await;
            if answer.status == StatusCode::CREATED {
                stored += 1;
                let path = answer.header("location").to_owned();
                assert_eq!(api.get(&path).await.json(), answer.json(), "{body}");
                let patched = api.patch(&path, &[], &body).await;
                assert!(!patched.status.is_server_error(), "{body}: {patched:?}");
            } else {
                refused += 1;
                assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {answer:?}");
                let pointer = answer.json()["errors"][0]["pointer"]
                    .as_str()
                    .expect("a pointer")
                    .to_owned();
                let field = if field == "\0" { "\0" } else { field };
                assert!(pointer.starts_with(&format!("/{field}")), "{body}: {answer:?}");
            }
            assert_eq!(api.count().await, stored, "{body}");
        }
    }
    assert!(refused > 500 && stored > 50, "{refused} refused, {stored} stored");
}

#[tokio::test]
async fn hostile_bodies_as_a_whole_never_break_anything() {
    let api = Api::start().await;
    let id = api.create(json!({"name": "echo"})).await;
    let long_number = format!(r#"{{"name": "echo", "priority": {}}}"#, "9".repeat(10_000));
    let many_keys = format!(
        "{{{}}}",
        (0..5_000)
            .map(|index| format!("\"k{index}\":1"))
            .collect::<Vec<_>>()
            .join(",")
    );
    let bodies = [
        "null",
        "true",
        "0",
        "\"text\"",
        "[]",
        "[{}]",
        "{}",
        r#"{"name": "\ud800"}"#,
        r#"{"name": 1e999}"#,
        r#"{"name": "echo", "ttl_seconds": 1e999}"#,
        r#"{"name": "echo", "description": "\u0000"}"#,
        r#"{"name": "echo", "labels": {"a": 1, "a": 2}}"#,
        r#"{"name": "echo", "input": "\u0000"}"#,
        &long_number,
        &many_keys,
        r#"{"tasks": null}"#,
        r#"{"tasks": {}}"#,
        r#"{"tasks": [null]}"#,
        r#"{"tasks": [[]]}"#,
        r#"{"tasks": "x"}"#,
        r#"{"reason": "\u0000"}"#,
        r#"{"reason": 5}"#,
        r#"{"name": "x", "scopes": ["root"]}"#,
        r#"{"name": "", "scopes": []}"#,
        r#"{"scopes": "admin", "name": "x"}"#,
        "\u{feff}{}",
        &"[".repeat(100_000),
        &"{\"a\":".repeat(50_000),
    ];
    for path in [
        "/api/tasks".to_owned(),
        "/api/tasks/batch".to_owned(),
        "/api/keys".to_owned(),
        format!("/api/tasks/{id}/cancel"),
        format!("/api/tasks/{id}/retry"),
    ] {
        for body in bodies {
            let keyed = [("idempotency-key", "hostile")];
            for headers in [&[][..], &keyed[..]] {
                let answer = api.post_with(&path, headers, body).await;
                // Some mean nothing to a call that takes an empty body; none is a fault of the server.
                let taken = matches!(answer.status, StatusCode::ACCEPTED | StatusCode::OK);
                let fine = answer.status.is_client_error() || taken;
                let shown: String = body.chars().take(80).collect();
                assert!(fine, "{path} {shown}: {answer:?}");
            }
        }
    }
    assert_eq!(api.count().await, 1, "nothing was stored");
}

#[tokio::test]
async fn a_request_id_is_taken_up_and_answered() {
    let api = Api::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = request(Method::GET, "/api/nothing")
        .header("x-request-id", "mine-1")
        .header("traceparent", trace);
    let answer = api.send(sent.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert_eq!(answer.header("traceparent"), trace);
    assert_eq!(answer.json()["request_id"], "mine-1");
}

#[tokio::test]
async fn a_database_that_is_away_is_said_so() {
    let api = Api::start().await;
    api.engine.close().await;
    let away = api.post("/api/tasks", &json!({"name": "echo"})).await;
    assert_eq!(
        (away.status.as_u16(), away.json()["code"].as_str()),
        (503, Some("database_unavailable")),
        "{away:?}"
    );
    assert_eq!(away.header("retry-after"), "2");
    let ready = api.get("/health/ready").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        ready.json()["failing"]
            .as_array()
            .expect("parts")
            .contains(&json!("database")),
        "{ready:?}"
    );
    assert_eq!(api.get("/health/live").await.status, StatusCode::OK);
}

#[tokio::test]
async fn readiness_asks_the_database_only_every_quarter_of_a_second() {
    let api = Api::start().await;
    let asked_at = tokio::time::Instant::now();
    assert_eq!(api.get("/health/ready").await.status, StatusCode::OK);
    api.engine.close().await;
    while api.get("/health/ready").await.status == StatusCode::OK {
        assert!(asked_at.elapsed() < Duration::from_secs(10), "it is noticed");
        tokio::task::yield_now().await;
    }
    assert!(
        asked_at.elapsed() >= Duration::from_millis(250),
        "{:?}",
        asked_at.elapsed()
    );
}
