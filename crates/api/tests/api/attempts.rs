//! The attempts of a task over HTTP, and what they wrote.

use crate::common::Api;
use axum::http::StatusCode;
use orchestratum_core::task::Ending;
use orchestratum_store::{Evidence, LogChunk, LogStream};
use serde_json::{Value, json};

#[tokio::test]
async fn attempts_and_logs_show_what_happened() {
    let api = Api::start().await;
    let id = api
        .create(json!({"name": "echo", "max_retries": 1, "backoff": {"kind": "none"}}))
        .await;
    let claimed = api.claim().await;
    let running = api.get(&format!("/api/tasks/{id}/attempts")).await.json();
    assert_eq!(
        (&running["items"][0]["attempt"], &running["items"][0]["outcome"]),
        (&json!(1), &Value::Null)
    );
    let chunk = |stream, sequence, text: &str| LogChunk {
        stream,
        sequence,
        text: text.to_owned(),
    };
    let evidence = Evidence {
        exit_code: Some(3),
        peak_memory_bytes: Some(1_000),
        logs: vec![
            chunk(LogStream::Stdout, 0, "out\n"),
            chunk(LogStream::Stderr, 1, "err\n"),
        ],
        ..Evidence::default()
    };
    let ending = Ending::Failed {
        message: "exit code 3".to_owned(),
        retryable: true,
        code: None,
    };
    api.finish(claimed.id, claimed.attempt, ending, evidence).await;
    let second = api.claim().await;
    assert_eq!(second.attempt, 2);

    let list = api.get(&format!("/api/tasks/{id}/attempts")).await.json();
    let ended = &list["items"][0];
    assert_eq!(ended["outcome"], "Failed");
    assert_eq!(ended["error"], json!({"kind": "Failed", "message": "exit code 3"}));
    assert_eq!(
        (&ended["exit_code"], &ended["peak_memory_bytes"], &ended["run"]),
        (&json!(3), &json!(1_000), &json!(1))
    );
    assert_eq!(list["items"][1]["outcome"], Value::Null);
    assert_eq!(list["next_cursor"], Value::Null);

    let logs = api.get(&format!("/api/tasks/{id}/logs")).await;
    assert!(logs.header("content-type").starts_with("text/plain"));
    assert_eq!(logs.text(), "out\nerr\n");
    assert_eq!(
        api.get(&format!("/api/tasks/{id}/logs?stream=stderr&attempt=1"))
            .await
            .text(),
        "err\n"
    );
    assert_eq!(api.get(&format!("/api/tasks/{id}/logs?attempt=2")).await.text(), "");
    let evidence = Evidence {
        logs: vec![chunk(LogStream::Stdout, 0, &"x".repeat(8 << 20))],
        ..Evidence::default()
    };
    api.finish(second.id, second.attempt, Ending::Success, evidence).await;
    let logs = api.get(&format!("/api/tasks/{id}/logs")).await.text();
    assert!(
        logs.starts_with("[... earlier attempts left out") && logs.ends_with('x'),
        "it says what is not there: {}",
        &logs[..100]
    );
    api.get(&format!("/api/tasks/{id}/logs?stream=both"))
        .await
        .problem(422, "invalid_query");
}

#[tokio::test]
async fn logs_are_asked_for_of_attempts_that_there_are() {
    let api = Api::start().await;
    let id = api.create(json!({"name": "echo"})).await;
    let path = format!("/api/tasks/{id}/logs");
    for attempt in ["0", "-1", "1.0", "first"] {
        let refused = api.get(&format!("{path}?attempt={attempt}")).await;
        refused.problem(422, "invalid_query");
    }
    let refusal = async |attempt: u32| {
        let refused = api.get(&format!("{path}?attempt={attempt}&stream=stdout")).await;
        refused.problem(404, "attempt_not_found")["detail"].to_string()
    };
    let detail = refusal(1).await;
    assert!(detail.contains("no attempt 1; none was made yet"), "{detail}");
    api.claim().await;
    let running = api.get(&format!("{path}?attempt=1")).await;
    assert_eq!((running.status, running.text()), (StatusCode::OK, String::new()));
    let detail = refusal(99).await;
    assert!(detail.contains("no attempt 99; the newest is 1"), "{detail}");
}

#[tokio::test]
async fn a_page_of_large_attempts_is_short_and_the_running_one_comes_last() {
    const ATTEMPTS: u32 = 10;
    let api = Api::start().await;
    let id = api
        .create(json!({"name": "echo", "max_retries": ATTEMPTS, "backoff": {"kind": "none"}}))
        .await;
    for _ in 0..ATTEMPTS {
        let claimed = api.claim().await;
        let ending = Ending::Failed {
            message: "x".repeat(1_000_000),
            retryable: true,
            code: None,
        };
        api.finish(claimed.id, claimed.attempt, ending, Evidence::default())
            .await;
    }
    api.claim().await;
    let path = format!("/api/tasks/{id}/attempts");
    let first = api.get(&path).await;
    assert!(first.bytes.len() < 9 << 20, "{} bytes", first.bytes.len());
    let first = first.json();
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = api.get(&format!("{path}?cursor={cursor}")).await.json();
    assert_eq!(second["next_cursor"], json!(null));
    let attempts: Vec<&Value> = [&first, &second]
        .into_iter()
        .flat_map(|page| page["items"].as_array().expect("items"))
        .collect();
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt["attempt"].as_u64()).collect();
    assert_eq!(numbers, (1..=u64::from(ATTEMPTS) + 1).map(Some).collect::<Vec<_>>());
    let running = attempts.iter().filter(|attempt| attempt["outcome"].is_null());
    assert_eq!(running.count(), 1);
    let after_all = api.get(&format!("{path}?cursor=11")).await.json();
    assert_eq!(after_all["items"], json!([]));
    for query in ["cursor=x", "cursor=-1", "page=2"] {
        api.get(&format!("{path}?{query}")).await.problem(422, "invalid_query");
    }
}
