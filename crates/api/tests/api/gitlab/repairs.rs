//! A calculation that fails takes its commits back, and a person corrects what was calculated: nobody else was on the branch.

use orchestratum_core::saga::DefinitionName;
use orchestratum_core::task::Ending;
use orchestratum_store::Evidence;
use orchestratum_testkit::FaultKind;
use serde_json::{Value, json};

use super::calculations::{BALANCE, calculates, issue, told, with_input};
use super::lab::{Lab, Working};

/// Whoever calculates: takes one message, and finds that it cannot be calculated.
async fn cannot_calculate(lab: &Lab, name: &str) {
    let task = lab.claims("celery").await;
    let input: Value = serde_json::from_str(task.input.as_str()).expect("JSON");
    assert_eq!(input["task"], name);
    let ending = Ending::Failed {
        message: "no such steam".to_owned(),
        retryable: false,
        code: None,
    };
    lab.finish(task.id, task.attempt, ending, Evidence::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_corrected_after_a_failure_is_no_drift() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    let mut body = issue();
    body["on_drift"] = json!("stop");
    let asked = [
        "user_input_required",
        "AWAIT_USER_CONDENSER_INPUT",
        "CONDENSER_CALCULATION",
    ];
    let first = told(&lab.post(BALANCE, &body).await, 200, asked);
    let input = format!("/api/sagas/{}/input", first["saga_id"].as_str().expect("an id"));
    let enters = async |data: Value| lab.post(&input, &json!({"data": data})).await.status;

    assert_eq!(enters(json!({"steam_flow_kg_s": -1})).await, 200);
    cannot_calculate(&lab, "balance.condenser").await;
    let again = told(&lab.post(BALANCE, &body).await, 200, asked);
    assert_ne!(again["commit"], first["commit"], "it was committed and reverted");
    assert_eq!(enters(json!({"steam_flow_kg_s": 200})).await, 200);
    calculates(&lab, "balance.condenser", "condenser_output.json").await;

    cannot_calculate(&lab, "balance.total").await;
    let repair = ["user_input_required", "AWAIT_USER_REPAIR", "BALANCE_CALCULATION"];
    told(&lab.post(BALANCE, &body).await, 200, repair);
    lab.commits("issue/42", "boiler_input.json", "{}").await;
    assert_eq!(enters(json!({})).await, 200);
    calculates(&lab, "balance.total", "balance_output.json").await;
    let calculated = ["user_input_required", "AWAIT_USER_MERGE_REQUEST", "MERGE_REQUEST"];
    let calculated = told(&lab.post(BALANCE, &body).await, 200, calculated);
    assert_eq!(calculated["drifts"], json!([]), "{calculated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_cannot_take_back_what_it_committed_is_told_and_taken_again() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    let first = lab.post(BALANCE, &issue()).await.json();
    let id = first["saga_id"].as_str().expect("an id");
    let refusal = FaultKind::answer(403, "application/json", "{\"message\": \"no rights\"}");
    lab.fail("POST", "/revert", refusal, 100).await;
    let entered = json!({"data": {"steam_flow_kg_s": -1}});
    let entered = lab.post(&format!("/api/sagas/{id}/input"), &entered).await;
    assert_eq!(entered.status, 200, "{entered:?}");
    cannot_calculate(&lab, "balance.condenser").await;
    let forbidden = lab.post(BALANCE, &issue()).await.problem(403, "gitlab_forbidden");
    assert_eq!(forbidden["saga_id"], id);
    lab.double.control().heal().await.expect("it does");
    let asked = [
        "user_input_required",
        "AWAIT_USER_CONDENSER_INPUT",
        "CONDENSER_CALCULATION",
    ];
    let again = told(&lab.post(BALANCE, &issue()).await, 200, asked);
    assert_eq!(again["saga_id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_of_an_earlier_release_gives_way_unless_it_was_put_back() {
    const EARLIER: &str = include_str!("calculation-before.yaml");
    let lab = Lab::start().await;
    let name = DefinitionName::new("calculation").expect("a name");
    let put = |source: String| lab.engine.put_definition(&name, source, Some("somebody".to_owned()));
    let shipped = lab.engine.definition(&name, None).await.expect("it is there");
    put(EARLIER.to_owned()).await.expect("it is sound");
    let defined = lab.engine.define_shipped().await.expect("they are there");
    assert_eq!(defined, [], "somebody has put it over the shipped one");

    let lab = Lab::bare().await;
    let put = |source: String| lab.engine.put_definition(&name, source, None);
    put(EARLIER.to_owned()).await.expect("it is sound");
    lab.engine.define_shipped().await.expect("they are sound");
    let newest = lab.engine.definition(&name, None).await.expect("it is there");
    assert_eq!((newest.version, newest.source), (2, shipped.source));
    put(format!("# Ours.\n{EARLIER}")).await.expect("it is sound");
    let defined = lab.engine.define_shipped().await.expect("they are there");
    assert_eq!(defined, [], "it is of somebody else");
}
