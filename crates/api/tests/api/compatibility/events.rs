//! How events reach sagas, beside how they do in `HeroMessaging`.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::common::Api;
use crate::sagas::{YAML, define, history, logged, on_both, path, read, start};

on_both!(
    match_26_an_event_without_a_correlation_id_is_refused,
    match_27_the_first_event_creates_a_saga_and_each_that_is_handled_adds_one_to_its_version,
    fix_27_a_stray_or_a_late_event_leaves_no_saga,
    match_28_where_it_is_asked_for_an_event_that_no_state_takes_is_passed_over_in_silence,
    match_28_the_first_transition_that_holds_is_taken,
    fix_29_an_event_that_nothing_takes_is_told_before_and_after_it_is_raised,
    fix_29_a_saga_that_is_over_takes_nothing,
    fix_39_what_a_transition_starts_is_written_with_it_or_not_at_all,
);

/// It is sent, scanned on its way, and delivered.
pub(super) const PARCEL: &str = "
name: parcel
context: {stops: 0}
initial: Initial
states:
  Initial:
    on:
      start: {target: Underway}
      parcel_sent: {target: Underway}
  Underway:
    on:
      scanned: {set: {stops: '${ context.stops + 1 }'}, tasks: [{name: announce, input: '${ event.id }'}]}
      delivered: {target: Delivered}
  Delivered: {final: true}
";

/// One that is under way.
pub(super) async fn parcel(api: &Api) -> Value {
    define(api, "parcel", PARCEL).await;
    start(api, json!({"definition": "parcel", "correlation_id": "p-1"})).await
}

pub(super) async fn raise(api: &Api, saga: &Value, name: &str) -> Value {
    let raised = api
        .post(&format!("{}/events", path(saga)), &json!({"name": name}))
        .await;
    assert_eq!(raised.status, StatusCode::OK, "{raised:?}");
    raised.json()
}

async fn sagas(api: &Api) -> Value {
    api.get("/api/sagas").await.json()["items"].clone()
}

/// The names of all tasks there are, the newest first.
async fn tasks(api: &Api) -> Vec<Value> {
    let listed = api.get("/api/tasks").await.json();
    let tasks = listed["items"].as_array().expect("items").iter();
    tasks.map(|task| task["name"].clone()).collect()
}

async fn match_26_an_event_without_a_correlation_id_is_refused(api: &Api) {
    define(api, "parcel", PARCEL).await;
    for body in [
        json!({"name": "parcel_sent"}),
        json!({"name": "parcel_sent", "correlation_id": null}),
        json!({"name": "parcel_sent", "correlation_id": ""}),
        json!({"name": "parcel_sent", "correlation_id": 7}),
    ] {
        let refused = api.post("/api/events", &body).await.problem(422, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], "/correlation_id", "{body}: {refused}");
    }
    assert_eq!(sagas(api).await, json!([]));
}

async fn match_27_the_first_event_creates_a_saga_and_each_that_is_handled_adds_one_to_its_version(api: &Api) {
    define(api, "parcel", PARCEL).await;
    for (version, name) in [(1, "parcel_sent"), (2, "scanned"), (3, "scanned")] {
        let event = json!({"name": name, "correlation_id": "p-1"});
        assert_eq!(api.post("/api/events", &event).await.status, StatusCode::OK);
        assert_eq!(sagas(api).await[0]["version"], version);
    }
    let saga = read(api, &sagas(api).await[0]).await;
    let refused = json!({"name": "parcel_sent"});
    api.post(&format!("{}/events", path(&saga)), &refused)
        .await
        .problem(409, "event_not_taken");
    assert_eq!(read(api, &saga).await, saga, "what is refused adds nothing");
    let first = history(api, &saga).await[0].clone();
    assert_eq!(
        (&first["kind"], &first["name"], &first["from"], &first["to"]),
        (
            &json!("started"),
            &json!("parcel_sent"),
            &json!("Initial"),
            &json!("Underway")
        )
    );
}

async fn fix_27_a_stray_or_a_late_event_leaves_no_saga(api: &Api) {
    define(api, "parcel", PARCEL).await;
    let scanned = json!({"name": "scanned", "correlation_id": "p-1"});
    api.post("/api/events", &scanned)
        .await
        .problem(404, "no_saga_for_event");
    assert_eq!(sagas(api).await, json!([]));

    let saga = start(api, json!({"definition": "parcel", "correlation_id": "p-1"})).await;
    let delivered = raise(api, &saga, "delivered").await;
    api.post("/api/events", &scanned).await.problem(409, "event_not_taken");
    assert_eq!(
        sagas(api).await,
        json!([delivered]),
        "it is over, and there is no other"
    );

    let store = api.engine.store();
    let later = store.database_time().await.expect("works") + Duration::from_secs(3_600);
    let purged = store.purge_finished(later, 100).await;
    assert_eq!(purged.expect("works"), 1);
    api.post("/api/events", &scanned)
        .await
        .problem(404, "no_saga_for_event");
    assert_eq!(sagas(api).await, json!([]), "nothing rises again");
}

async fn match_28_where_it_is_asked_for_an_event_that_no_state_takes_is_passed_over_in_silence(api: &Api) {
    define(api, "parcel", &format!("{PARCEL}unhandled: ignore\n")).await;
    let saga = start(api, json!({"definition": "parcel"})).await;
    let after = raise(api, &saga, "weighed").await;
    for field in ["status", "state", "context", "tasks", "compensations"] {
        assert_eq!(after[field], saga[field], "{field}");
    }
    let history = history(api, &saga).await;
    assert_eq!(logged(&history[1..]), ["saga.event_ignored"]);
    // Without a word of it, its sender is told.
    let strict = define(api, "parcel", PARCEL).await;
    assert_eq!(strict["version"], 2);
    let saga = start(api, json!({"definition": "parcel"})).await;
    let saga = read(api, &saga).await;
    let weighed = json!({"name": "weighed"});
    let refused = api.post(&format!("{}/events", path(&saga)), &weighed).await;
    assert_eq!(
        refused.problem(409, "event_not_taken")["takes"],
        json!(["delivered", "scanned"])
    );
    assert_eq!(read(api, &saga).await, saga);
}

async fn match_28_the_first_transition_that_holds_is_taken(api: &Api) {
    let source = "
name: sorted
initial: Initial
states:
  Initial: {on: {start: {target: Sorting}}}
  Sorting:
    on:
      sorted:
        - {if: event.data.weight > 30, target: Freight}
        - {if: event.data.weight > 2, target: Parcel}
        - {if: event.data.weight > 1, target: Letter}
        - {target: Letter}
  Freight: {final: true}
  Parcel: {final: true}
  Letter: {final: true}
";
    define(api, "sorted", source).await;
    for (weight, state) in [(31, "Freight"), (3, "Parcel"), (2, "Letter"), (1, "Letter")] {
        let saga = start(api, json!({"definition": "sorted"})).await;
        let event = json!({"name": "sorted", "data": {"weight": weight}});
        let sorted = api.post(&format!("{}/events", path(&saga)), &event).await.json();
        assert_eq!(sorted["state"], state, "{weight}");
    }
}

async fn fix_29_an_event_that_nothing_takes_is_told_before_and_after_it_is_raised(api: &Api) {
    let misspelt = PARCEL.replace(
        "input: '${ event.id }'",
        "raises: {success: deliverd, failure: delivered}",
    );
    let refused = api
        .put_text("/api/saga-definitions/parcel", &YAML, &misspelt)
        .await
        .problem(422, "invalid_definition");
    assert_eq!(refused["errors"][0]["suggestion"], "delivered", "{refused}");

    let saga = parcel(api).await;
    let events = format!("{}/events", path(&saga));
    let refused = api.post(&events, &json!({"name": "Scanned"})).await;
    let refused = refused.problem(409, "event_not_taken");
    assert_eq!(refused["takes"], json!(["delivered", "scanned"]));
}

async fn fix_29_a_saga_that_is_over_takes_nothing(api: &Api) {
    let leaving = PARCEL.replace(
        "Delivered: {final: true}",
        "Delivered: {final: true, on: {scanned: {target: Underway}}}",
    );
    api.put_text("/api/saga-definitions/parcel", &YAML, &leaving)
        .await
        .problem(422, "invalid_definition");

    let saga = parcel(api).await;
    raise(api, &saga, "delivered").await;
    let delivered = read(api, &saga).await;
    let events = format!("{}/events", path(&saga));
    for name in ["scanned", "delivered"] {
        api.post(&events, &json!({"name": name}))
            .await
            .problem(409, "illegal_saga_status");
    }
    assert_eq!(read(api, &saga).await, delivered);
    let refused = history(api, &saga).await;
    assert!(
        refused[2..].iter().all(|entry| entry["refusal"].is_string()),
        "{refused:?}"
    );
    assert_eq!(refused.len(), 4, "it is told why, and so is whoever looks later");
}

async fn fix_39_what_a_transition_starts_is_written_with_it_or_not_at_all(api: &Api) {
    let source = "
name: letter
context: {sent: 0}
initial: Initial
states:
  Initial: {on: {start: {target: Written}}}
  Written:
    on:
      sent:
        set: {sent: '${ context.sent + 1 }'}
        tasks:
          - {name: stamp, raises: {failure: lost}}
          - {name: carry, input: '${ event.data.to }', raises: {failure: lost}}
        target: Underway
  Underway: {on: {lost: {target: Lost}}}
  Lost: {final: failed}
";
    define(api, "letter", source).await;
    let saga = start(api, json!({"definition": "letter"})).await;
    let events = format!("{}/events", path(&saga));
    // The second task cannot be made: there is no `to`.
    let failed = api
        .post(&events, &json!({"name": "sent", "data": {}, "id": "e-1"}))
        .await;
    let failed = failed.json();
    assert_eq!(
        (&failed["status"], &failed["state"], &failed["context"]),
        (&json!("NeedsAttention"), &json!("Written"), &json!({"sent": 0}))
    );
    assert_eq!(tasks(api).await, Vec::<Value>::new(), "nor was the first one made");
    let sent = api
        .post(&events, &json!({"name": "sent", "data": {"to": "Ada"}}))
        .await
        .json();
    assert_eq!(
        (&sent["state"], &sent["context"]),
        (&json!("Underway"), &json!({"sent": 1}))
    );
    assert_eq!(tasks(api).await.len(), 2, "there is no broker here, and none is missed");
}
