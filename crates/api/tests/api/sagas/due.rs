//! What will happen to a saga by itself, and what waits for a state that takes it.

use std::time::Duration;

use axum::http::StatusCode;
use orchestratum_core::Timestamp;
use serde_json::{Value, json};

use super::{define, on_both, path, read, settled, start};
use crate::common::Api;

on_both!(
    whoever_looks_at_a_saga_is_told_what_is_due_and_when,
    an_event_that_came_too_early_is_shown_until_it_is_taken,
);

const ASKING: &str = "
name: asking
initial: Initial
timeout: {after_seconds: 86400, target: Failed, compensate: true}
unhandled: defer
states:
  Initial: {on: {start: {target: Asking}}}
  Asking:
    await_input:
      event: answered
      prompt: Well?
      reminders: [{seconds: 600, event: reminded}]
      default_after: {seconds: 3600, data: {ok: false}}
    after:
      - {seconds: 1800, if: 'saga.correlation_id != \"\"', target: Late}
    on: {answered: {target: Paying}, reminded: {set: {reminded: true}}}
  Late: {on: {answered: {target: Paying}}}
  Paying: {on: {paid: {target: Done}}}
  Done: {final: true}
  Failed: {final: failed}
";

async fn asking(api: &Api) -> Value {
    define(api, "asking", ASKING).await;
    start(
        api,
        json!({"definition": "asking", "correlation_id": "a-1", "input": {}}),
    )
    .await
}

async fn whoever_looks_at_a_saga_is_told_what_is_due_and_when(api: &Api) {
    let started = asking(api).await;
    assert_eq!(
        started["timers"],
        Value::Null,
        "nobody is kept waiting for what nobody asked for"
    );
    let listed = api.get("/api/sagas").await.json();
    assert_eq!(listed["items"][0]["timers"], Value::Null);

    let saga = read(api, &started).await;
    let begun: Timestamp = serde_json::from_value(saga["created_at"].clone()).expect("a time");
    let due = |seconds: u64| json!(begun + Duration::from_secs(seconds));
    assert_eq!(
        saga["timers"],
        json!([
            {"timer": "Reminder", "due_at": due(600), "target": null, "compensate": false, "if": null, "event": "reminded", "data": null},
            {"timer": "After", "due_at": due(1_800), "target": "Late", "compensate": false, "if": "saga.correlation_id != \"\"",
                "event": null, "data": null},
            {"timer": "DefaultAnswer", "due_at": due(3_600), "target": null, "compensate": false, "if": null, "event": "answered",
                "data": {"ok": false}},
            {"timer": "Saga", "due_at": due(86_400), "target": "Failed", "compensate": true, "if": null, "event": null, "data": null},
        ])
    );

    let answered = api
        .post(&format!("{}/input", path(&saga)), &json!({"data": {"ok": true}}))
        .await;
    assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
    let kinds = |saga: &Value| -> Vec<Value> {
        let timers = saga["timers"].as_array().expect("timers").iter();
        timers.map(|timer| timer["timer"].clone()).collect()
    };
    assert_eq!(
        kinds(&read(api, &saga).await),
        ["Saga"],
        "those of its state went with it"
    );
    let paid = api
        .post(&format!("{}/events", path(&saga)), &json!({"name": "paid"}))
        .await;
    assert_eq!(paid.status, StatusCode::OK, "{paid:?}");
    let done = settled(api, &saga).await;
    assert_eq!((&done["status"], &done["timers"]), (&json!("Completed"), &json!([])));
}

async fn an_event_that_came_too_early_is_shown_until_it_is_taken(api: &Api) {
    let saga = asking(api).await;
    assert_eq!(saga["deferred"], json!([]));
    let never = api
        .post(&format!("{}/events", path(&saga)), &json!({"name": "piad"}))
        .await
        .problem(409, "event_not_taken");
    assert_eq!(
        never["takes"],
        json!(["answered", "paid", "reminded", "start"]),
        "{never}"
    );
    let never = api
        .post("/api/events", &json!({"name": "piad", "correlation_id": "a-1"}))
        .await
        .problem(409, "event_not_taken");
    assert_eq!(
        never["takes"],
        json!(["answered", "paid", "reminded", "start"]),
        "{never}"
    );
    let early = json!({"name": "paid", "id": "bank-17", "data": {"amount": 42}});
    let taken = api.post(&format!("{}/events", path(&saga)), &early).await.json();
    let waits = json!([{"id": "bank-17", "event": "paid"}]);
    assert_eq!(taken["deferred"], waits);
    assert_eq!(read(api, &saga).await["deferred"], waits);
    let listed = api.get("/api/sagas").await.json();
    assert_eq!(listed["items"][0]["deferred"], waits);
    let answered = api
        .post(&format!("{}/input", path(&saga)), &json!({"data": {"ok": true}}))
        .await
        .json();
    assert_eq!(
        (&answered["state"], &answered["deferred"]),
        (&json!("Done"), &json!([]))
    );
}
