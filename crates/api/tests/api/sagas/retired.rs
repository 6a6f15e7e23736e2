//! A definition by which no saga begins any more, as the manual shows it.

use axum::http::StatusCode;
use serde_json::json;

use super::{define, on_both, path, read, settled, start};
use crate::common::Api;

on_both!(no_saga_begins_by_a_retired_definition_and_those_that_run_go_on);

const MANUAL: &str = include_str!("../../../../../docs/sagas.md");

const OPEN: &str = "
name: purchase
initial: Initial
states:
  Initial: {on: {start: {target: Waiting}, ordered: {target: Waiting}}}
  Waiting: {on: {paid: {target: Done}}}
  Done: {final: true}
";

const SHOP: &str = "
name: shop
context: {reason: null}
initial: Initial
states:
  Initial: {on: {start: {target: Selling}}}
  Selling:
    on_entry: [{saga: purchase, raises: {success: sold, failure: unsold}}]
    on: {sold: {target: Done}, unsold: {set: {reason: '${ event.data.message }'}, target: Failed}}
  Done: {final: true}
  Failed: {final: failed, reason: reason}
";

async fn no_saga_begins_by_a_retired_definition_and_those_that_run_go_on(api: &Api) {
    let (_, section) = MANUAL
        .split_once("### When none is to begin any more")
        .expect("a section");
    let retired = section
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    define(api, "purchase", OPEN).await;
    define(api, "shop", SHOP).await;
    let running = start(api, json!({"definition": "purchase", "correlation_id": "p-1"})).await;
    assert_eq!(
        define(api, "purchase", retired.expect("a definition")).await["warnings"],
        json!([])
    );

    let new = json!({"definition": "purchase", "correlation_id": "p-2"});
    let refused = api.post("/api/sagas", &new).await;
    refused.problem(409, "event_not_taken");
    let ordered = json!({"name": "ordered", "correlation_id": "p-2"});
    assert!(api.post("/api/events", &ordered).await.status.is_client_error());
    let shop = start(api, json!({"definition": "shop", "correlation_id": "s-1"})).await;
    let shop = settled(api, &shop).await;
    assert_eq!(
        (&shop["status"], &shop["state"]),
        (&json!("Failed"), &json!("Failed")),
        "{shop}"
    );
    let of_callers = api
        .get("/api/sagas?definition=purchase&correlation_id=p-2")
        .await
        .json();
    assert_eq!(of_callers["items"], json!([]), "nothing is left behind");

    let again = api
        .post(
            "/api/sagas",
            &json!({"definition": "purchase", "correlation_id": "p-1"}),
        )
        .await;
    assert_eq!((again.status, &again.json()["id"]), (StatusCode::OK, &running["id"]));
    let paid = api
        .post(&format!("{}/events", path(&running)), &json!({"name": "paid"}))
        .await;
    assert_eq!(paid.status, StatusCode::OK);
    let over = read(api, &running).await;
    assert_eq!(
        (&over["status"], &over["definition_version"]),
        (&json!("Completed"), &json!(1))
    );

    assert_eq!(define(api, "purchase", OPEN).await["version"], 3);
    start(api, new).await;
}
