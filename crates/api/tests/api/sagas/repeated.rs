//! A start that is repeated by its key starts nothing twice.

use axum::http::StatusCode;
use orchestratum_core::Timestamp;
use serde_json::json;

use super::{define, on_both};
use crate::common::Api;

on_both!(
    the_same_key_and_body_are_the_same_saga,
    the_saga_of_a_key_that_was_deleted_is_gone,
);

const KEY: &str = "idempotency-key";

/// It is over as soon as it begins.
const BRIEF: &str = "
name: brief
initial: Initial
states:
  Initial: {on: {start: {target: Done}}}
  Done: {final: true}
";

async fn the_same_key_and_body_are_the_same_saga(api: &Api) {
    define(api, "brief", BRIEF).await;
    let start =
        |key: &'static str, body: &'static str| async move { api.post_with("/api/sagas", &[(KEY, key)], body).await };
    let first = start("one", r#"{"definition": "brief", "input": {"a": 1, "b": 2}}"#).await;
    assert_eq!(
        (first.status, first.header("idempotent-replay")),
        (StatusCode::CREATED, "")
    );
    let again = start("one", r#"{"input":{"b":2,"a":1},"definition":"brief"}"#).await;
    assert_eq!(
        (again.status, again.header("idempotent-replay")),
        (StatusCode::CREATED, "true")
    );
    assert_eq!(
        (again.json(), again.header("location")),
        (first.json(), first.header("location"))
    );
    let other = start("two", r#"{"definition": "brief", "input": {"a": 1, "b": 2}}"#).await;
    assert_ne!(other.json()["id"], first.json()["id"]);

    start("one", r#"{"definition": "brief"}"#)
        .await
        .problem(422, "idempotency_key_reused");
    api.post_with("/api/tasks", &[(KEY, "one")], r#"{"name": "echo"}"#)
        .await
        .problem(422, "idempotency_key_reused");
    start("a b", r#"{"definition": "brief"}"#)
        .await
        .problem(400, "invalid_header");
    let listed = api.get("/api/sagas").await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
}

async fn the_saga_of_a_key_that_was_deleted_is_gone(api: &Api) {
    define(api, "brief", BRIEF).await;
    let start = || api.post_with("/api/sagas", &[(KEY, "one")], r#"{"definition": "brief"}"#);
    assert_eq!(start().await.status, StatusCode::CREATED);
    let far = Timestamp::from_micros(i64::from(u32::MAX) * 1_000_000);
    let purged = api.engine.store().purge_finished(far, 100).await.expect("works");
    assert_eq!(purged, 1);
    start().await.problem(410, "saga_gone");
    assert_eq!(api.get("/api/sagas").await.json()["items"], json!([]));
}
