//! The order saga that is shipped: success, failures at each step, and a compensation that is stuck.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    ORDER, YAML, claim, define, fail, history, logged, on_both, path, read, report, settled, start_order, succeed,
};
use crate::common::Api;

on_both!(
    an_order_is_started_once,
    an_order_is_paid_reserved_and_shipped,
    the_history_of_an_order_tells_all_that_it_did,
    an_order_that_cannot_be_paid_has_nothing_to_undo,
    an_order_of_whose_payment_nobody_knows_is_refunded,
    an_order_that_cannot_be_shipped_is_undone_newest_first,
    a_compensation_that_is_stuck_is_retried_or_skipped_by_a_person,
    an_order_is_cancelled_once,
);

async fn an_order_is_started_once(api: &Api) {
    let saga = start_order(api, "order-1").await;
    assert_eq!(
        (
            &saga["definition"],
            &saga["definition_version"],
            &saga["status"],
            &saga["state"]
        ),
        (&json!("order"), &json!(1), &json!("Running"), &json!("AwaitingPayment"))
    );
    assert_eq!((&saga["awaiting"], &saga["parent_id"]), (&Value::Null, &Value::Null));
    let again = json!({"definition": "order", "correlation_id": "order-1", "input": {"total": 1}});
    let again = api.post("/api/sagas", &again).await;
    assert_eq!(
        (again.status, again.header("location")),
        (StatusCode::OK, path(&saga).as_str())
    );
    assert_eq!(again.json(), saga, "the same saga, as it was");
    let same = api.put_text("/api/saga-definitions/order", &YAML, ORDER).await;
    assert_eq!(
        (same.status, same.json()["version"].clone()),
        (StatusCode::OK, json!(1))
    );
}

async fn an_order_is_paid_reserved_and_shipped(api: &Api) {
    let saga = start_order(api, "order-1").await;
    let payment = &saga["tasks"][0];
    assert_eq!(
        (&payment["name"], &payment["status"]),
        (&json!("process_payment"), &json!("Pending"))
    );
    let task = api
        .get(&format!("/api/tasks/{}", payment["id"].as_str().expect("an id")))
        .await
        .json();
    assert_eq!((&task["saga_id"], &task["target"]), (&saga["id"], &json!("billing")));
    let given = succeed(api, "process_payment", json!({"transaction_id": "t-1"})).await;
    assert_eq!(
        given,
        json!({"order_id": "order-1", "customer_id": "c-1", "amount": 42})
    );
    succeed(api, "reserve_inventory", json!({"reservation_id": "r-1"})).await;
    let shipment = claim(api, "create_shipment").await;
    let waiting = read(api, &saga).await;
    assert_eq!(
        (&waiting["state"], &waiting["tasks"][0]["status"]),
        (&json!("AwaitingShipment"), &json!("InProgress"))
    );
    let to_undo: Vec<_> = waiting["compensations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (&one["name"], &one["status"]))
        .collect();
    let pending = json!("Pending");
    assert_eq!(
        to_undo,
        [
            (&json!("release_inventory"), &pending),
            (&json!("refund_payment"), &pending)
        ],
        "in the order in which it would happen"
    );
    report(
        api,
        &shipment,
        "complete",
        &json!({"output": {"tracking_number": "n-1"}}),
    )
    .await;

    let done = settled(api, &saga).await;
    assert_eq!(
        (&done["status"], &done["state"]),
        (&json!("Completed"), &json!("Completed"))
    );
    assert_eq!(done["context"]["shipment_tracking_number"], "n-1");
    assert!(done["finished_at"].is_string() && done["tasks"] == json!([]), "{done}");
}

async fn the_history_of_an_order_tells_all_that_it_did(api: &Api) {
    let saga = start_order(api, "order-1").await;
    succeed(api, "process_payment", json!({"transaction_id": "t-1"})).await;
    succeed(api, "reserve_inventory", json!({"reservation_id": "r-1"})).await;
    succeed(api, "create_shipment", json!({"tracking_number": "n-1"})).await;
    settled(api, &saga).await;
    let plain = api.get("/api/saga-definitions/order/diagram").await.text();
    let live = api.get(&format!("{}/diagram", path(&saga))).await.text();
    assert!(
        live.starts_with("stateDiagram-v2") && live != plain,
        "its way is marked: {live}"
    );
    let of_it = api
        .get(&format!("/api/tasks?saga_id={}", saga["id"].as_str().expect("an id")))
        .await
        .json();
    let names: Vec<_> = of_it["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|task| task["name"].clone())
        .collect();
    assert_eq!(names, ["create_shipment", "reserve_inventory", "process_payment"]);
    let history = history(api, &saga).await;
    let numbers: Vec<_> = history
        .iter()
        .map(|entry| entry["seq"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(
        (&history[0]["kind"], &history[0]["tasks"][0]["name"]),
        (&json!("started"), &json!("process_payment"))
    );
    assert_eq!(
        (&history[1]["from"], &history[1]["to"]),
        (&json!("AwaitingPayment"), &json!("AwaitingInventory"))
    );
    assert_eq!(history[1]["data"], json!({"transaction_id": "t-1"}));
    assert_eq!(
        told(&history),
        [
            "start taken",
            "process_payment succeeded",
            "reserve_inventory succeeded",
            "create_shipment succeeded"
        ]
    );
    let logged = logged(&history);
    assert_eq!(logged.first(), Some(&"saga.created"));
    for name in ["saga.transition", "saga.event_processed"] {
        assert_eq!(
            logged.iter().filter(|logged| **logged == name).count(),
            4,
            "{name}: {logged:?}"
        );
    }
    an_end_has_its_name_on_a_page_of_its_own(api, &saga).await;
}

async fn an_end_has_its_name_on_a_page_of_its_own(api: &Api, saga: &Value) {
    let first = api.get(&format!("{}/history?limit=3", path(saga))).await.json();
    let second = api
        .get(&format!(
            "{}/history?limit=3&cursor={}",
            path(saga),
            first["next_cursor"].as_str().expect("more")
        ))
        .await
        .json();
    assert_eq!(
        (second["items"].as_array().map(Vec::len), &second["items"][0]["seq"]),
        (Some(1), &json!(4))
    );
    assert_eq!(
        second["items"][0]["name"], "create_shipment",
        "it was issued in the page before"
    );
}

/// Of each entry what it is about, and what came of it.
fn told(history: &[Value]) -> Vec<String> {
    let field = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("–").to_owned();
    let told = history.iter();
    told.map(|entry| format!("{} {}", field(entry, "name"), field(entry, "outcome")))
        .collect()
}

async fn an_order_that_cannot_be_paid_has_nothing_to_undo(api: &Api) {
    let saga = start_order(api, "order-2").await;
    fail(api, "process_payment", "no funds").await;
    let failed = settled(api, &saga).await;
    assert_eq!(
        (&failed["status"], &failed["state"]),
        (&json!("Failed"), &json!("Failed"))
    );
    assert_eq!(failed["context"]["failure_reason"], "no funds");
    let history = history(api, &saga).await;
    assert_eq!(history[1]["error"]["message"], "no funds");
    // What is due is told of one alone.
    let mut listed_so = failed;
    listed_so["timers"] = Value::Null;
    for (query, found) in [
        ("definition=order&status=Failed", true),
        ("state=Failed&correlation_id=order-2", true),
        ("status=Completed", false),
        ("correlation_id=order-22", false),
        ("definition=other", false),
        ("stale_for_seconds=0", false),
    ] {
        let listed = api.get(&format!("/api/sagas?{query}")).await.json();
        let expected = if found { json!([listed_so]) } else { json!([]) };
        assert_eq!(listed, json!({"items": expected, "next_cursor": null}), "{query}");
    }
}

/// A payment that was given up while it ran may have been made all the same.
async fn an_order_of_whose_payment_nobody_knows_is_refunded(api: &Api) {
    let saga = start_order(api, "order-4").await;
    let payment = claim(api, "process_payment").await;
    let gone = json!({"error": {"kind": "Cancelled", "message": "the bank hung up"}});
    report(api, &payment, "fail", &gone).await;
    let given = succeed(api, "refund_payment", json!(null)).await;
    assert_eq!(given, json!({"order_id": "order-4", "amount": 42}));
    let failed = settled(api, &saga).await;
    assert_eq!(
        (&failed["status"], &failed["compensations"]),
        (&json!("Failed"), &json!([]))
    );
    assert_eq!(failed["context"]["failure_reason"], "the bank hung up");
}

async fn an_order_that_cannot_be_shipped_is_undone_newest_first(api: &Api) {
    let saga = start_order(api, "order-3").await;
    succeed(api, "process_payment", json!({"transaction_id": "t-3"})).await;
    succeed(api, "reserve_inventory", json!({"reservation_id": "r-3"})).await;
    fail(api, "create_shipment", "no lorry").await;
    let release = claim(api, "release_inventory").await;
    assert_eq!(release["input"], json!({"order_id": "order-3"}));
    let undoing = read(api, &saga).await;
    assert_eq!(undoing["status"], "Compensating");
    assert_eq!(
        (&undoing["tasks"][0]["name"], &undoing["tasks"][0]["compensation"]),
        (&json!("release_inventory"), &json!(true))
    );
    assert_eq!(
        (
            &undoing["compensations"][0]["status"],
            &undoing["compensations"][1]["status"]
        ),
        (&json!("Running"), &json!("Pending"))
    );
    let events = format!("{}/events", path(&saga));
    api.post(&events, &json!({"name": "order_shipped"}))
        .await
        .problem(409, "illegal_saga_status");
    report(api, &release, "complete", &json!({})).await;
    let given = succeed(api, "refund_payment", json!(null)).await;
    assert_eq!(given, json!({"order_id": "order-3", "amount": 42}));
    let failed = settled(api, &saga).await;
    assert_eq!(
        (&failed["status"], &failed["compensations"]),
        (&json!("Failed"), &json!([]))
    );
    assert_eq!(failed["context"]["failure_reason"], "no lorry");
    let history = history(api, &saga).await;
    let undone: Vec<_> = history
        .iter()
        .filter(|entry| entry["kind"] == "compensation_ended")
        .map(|entry| entry["number"].clone())
        .collect();
    assert_eq!(undone.len(), 2);
    assert_eq!(
        told(&history)[3..],
        [
            "create_shipment failed",
            "order_shipped refused",
            "release_inventory succeeded",
            "refund_payment succeeded"
        ]
    );
    assert!(logged(&history).contains(&"saga.compensation"));
    let refused = history
        .iter()
        .find(|entry| !entry["refusal"].is_null())
        .expect("the event that was refused");
    assert_eq!(
        (&refused["name"], &refused["log"][0]["event"]),
        (&json!("order_shipped"), &json!("saga.event_rejected"))
    );
}

async fn a_compensation_that_is_stuck_is_retried_or_skipped_by_a_person(api: &Api) {
    let saga = start_order(api, "order-4").await;
    succeed(api, "process_payment", json!({"transaction_id": "t-4"})).await;
    fail(api, "reserve_inventory", "sold out").await;
    fail(api, "refund_payment", "the bank is closed").await;
    let stuck = settled(api, &saga).await;
    assert_eq!(stuck["status"], "CompensationStuck");
    let refund = &stuck["compensations"][0];
    assert_eq!(
        (&refund["name"], &refund["status"]),
        (&json!("refund_payment"), &json!("Stuck"))
    );
    assert_eq!(refund["error"]["message"], "the bank is closed");
    let of = |number: &Value, what: &str| format!("{}/compensations/{number}/{what}", path(&saga));
    api.post_empty(&of(&json!(99), "retry"))
        .await
        .problem(409, "illegal_saga_status");
    api.post_empty(&of(&json!(99), "skip"))
        .await
        .problem(409, "illegal_saga_status");
    let late = api
        .post_with(&of(&refund["number"], "retry"), &[("if-match", "\"1\"")], "")
        .await;
    late.problem(412, "version_mismatch");
    let retried = api.post_empty(&of(&refund["number"], "retry")).await;
    assert_eq!(
        (retried.status, &retried.json()["status"]),
        (StatusCode::OK, &json!("Compensating"))
    );
    fail(api, "refund_payment", "it still is").await;
    let stuck = settled(api, &saga).await;
    let skipped = api
        .post_empty(&of(&stuck["compensations"][0]["number"], "skip"))
        .await
        .json();
    assert_eq!(
        (&skipped["status"], &skipped["compensations"]),
        (&json!("Failed"), &json!([]))
    );
    let history = history(api, &saga).await;
    let by_people: Vec<_> = history
        .iter()
        .filter(|entry| !entry["actor"].is_null() && entry["refusal"].is_null())
        .map(|entry| (entry["kind"].as_str().expect("a kind"), entry["number"].clone()))
        .collect();
    let number = &refund["number"];
    assert_eq!(
        by_people[by_people.len() - 2..],
        [
            ("compensation_retried", number.clone()),
            ("compensation_skipped", number.clone())
        ]
    );
    api.post_empty(&of(&refund["number"], "retry"))
        .await
        .problem(409, "illegal_saga_status");
}

async fn an_order_is_cancelled_once(api: &Api) {
    let saga = start_order(api, "order-5").await;
    succeed(api, "process_payment", json!({"transaction_id": "t-5"})).await;
    claim(api, "reserve_inventory").await;
    let cancel = format!("{}/cancel", path(&saga));
    let late = api.post_with(&cancel, &[("if-match", "\"1\"")], "{}").await;
    late.problem(412, "version_mismatch");
    let cancelled = api.post(&cancel, &json!({"reason": "changed their mind"})).await;
    assert_eq!(
        (cancelled.status, &cancelled.json()["status"]),
        (StatusCode::ACCEPTED, &json!("Compensating"))
    );
    let entries = history(api, &saga).await;
    let told = entries
        .iter()
        .find(|entry| entry["kind"] == "cancel")
        .expect("it is kept");
    assert_eq!(told["data"], json!({"reason": "changed their mind"}));
    let again = api.post_empty(&cancel).await;
    assert_eq!(
        (again.status, &again.json()["version"]),
        (StatusCode::OK, &cancelled.json()["version"])
    );
    define(
        api,
        "nothing",
        "name: nothing\ninitial: A\nstates:\n  A: {on: {start: {target: B}}}\n  B: {final: true}\n",
    )
    .await;
    let over = super::start(api, json!({"definition": "nothing"})).await;
    assert_eq!(
        (&over["status"], &over["correlation_id"]),
        (&json!("Completed"), &over["id"])
    );
    api.post_empty(&format!("{}/cancel", path(&over)))
        .await
        .problem(409, "illegal_saga_status");
}
