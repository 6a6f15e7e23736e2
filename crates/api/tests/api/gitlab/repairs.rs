//! A calculation that fails takes its commits back, and a person corrects what was calculated: nobody else was on the branch.

use orchestratum_core::saga::DefinitionName;
use orchestratum_core::task::Ending;
use orchestratum_store::Evidence;
use orchestratum_testkit::{FaultKind, PROJECT};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::calculations::{
    BALANCE, CONDENSER_ASKED, answers, calculates, calculation, ends, enters, issue, told, with_input,
};
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
    let first = told(&lab.post(BALANCE, &body).await, 200, CONDENSER_ASKED);

    enters(&lab, &first, &json!({"steam_flow_kg_s": -1})).await;
    cannot_calculate(&lab, "balance.condenser").await;
    let again = told(&lab.post(BALANCE, &body).await, 200, CONDENSER_ASKED);
    assert_ne!(again["commit"], first["commit"], "it was committed and reverted");
    enters(&lab, &first, &json!({"steam_flow_kg_s": 200})).await;
    calculates(&lab, "balance.condenser", "condenser_output.json").await;

    cannot_calculate(&lab, "balance.total").await;
    let repair = ["user_input_required", "AWAIT_USER_REPAIR", "BALANCE_CALCULATION"];
    told(&lab.post(BALANCE, &body).await, 200, repair);
    lab.commits("issue/42", "boiler_input.json", "{}").await;
    enters(&lab, &first, &json!({})).await;
    // What was mended may be the input of any part. Here nothing comes out otherwise, so that nothing is committed.
    let unchanged = json!({"commitHash": lab.head("issue/42").await, "output_file": "condenser_output.json"});
    answers(&lab, &unchanged).await;
    calculates(&lab, "balance.total", "balance_output.json").await;
    let calculated = ["user_input_required", "AWAIT_USER_MERGE_REQUEST", "MERGE_REQUEST"];
    let calculated = told(&lab.post(BALANCE, &body).await, 200, calculated);
    assert_eq!(calculated["drifts"], json!([]), "{calculated}");
}

/// What it had begun is taken back by the engine, which waits for somebody where that fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_calculation_that_cannot_take_back_what_it_committed_is_told_and_taken_again() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    let before = lab.commits("issue/42", "a", "1").await;
    let started = lab.post("/api/calculations", &calculation()).await.json();
    let refusal = FaultKind::answer(403, "application/json", "{\"message\": \"no rights\"}");
    lab.fail("POST", "/revert", refusal, 100).await;
    cannot_calculate(&lab, "balance.condenser").await;
    let saga = format!(
        "/api/sagas/{}?wait_seconds=10",
        started["saga_id"].as_str().expect("an id")
    );
    assert_eq!(lab.get(&saga).await.json()["status"], "CompensationStuck");
    lab.double.control().heal().await.expect("it does");
    let again = lab.post("/api/calculations", &calculation()).await;
    assert_eq!(again.status, 202, "{again:?}");
    let failed = lab.get(&saga).await.json();
    assert_eq!(
        (&failed["status"], &failed["context"]["commit"]),
        (&json!("Failed"), &started["commit_hash"])
    );
    let told = lab.post("/api/calculations", &calculation()).await.json();
    assert_eq!((&told["status"], &told["drift"]), (&json!("failed"), &json!(null)));
    assert!(
        told["error"]
            .as_str()
            .is_some_and(|error| error.contains("no such steam")),
        "{told}"
    );
    assert_ne!(lab.head("issue/42").await, before, "it was committed and reverted");
}

/// Others were faster than whoever calculates, who has pushed nothing then.
#[tokio::test(flavor = "multi_thread")]
async fn a_calculation_that_others_were_before_fails_and_says_so() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    let expected = lab.commits("issue/42", "a", "1").await;
    let mut body = calculation();
    body["files"] = json!({});
    body["input_files"] = json!(["a"]);
    let started = lab.post("/api/calculations", &body).await.json();
    assert_eq!(
        (&started["status"], &started["error"]),
        (&json!("running"), &json!(null))
    );
    let found = lab.commits("issue/42", "b", "1").await;
    answers(&lab, &json!({"movedTo": found})).await;
    let saga = format!(
        "/api/sagas/{}?wait_seconds=10",
        started["saga_id"].as_str().expect("an id")
    );
    assert_eq!(lab.get(&saga).await.json()["status"], "Failed");
    let told = lab.post("/api/calculations", &body).await.json();
    assert_eq!(
        (&told["saga_id"], &told["status"]),
        (&started["saga_id"], &json!("failed"))
    );
    assert_eq!(told["drift"], json!({"expected": expected, "found": found}));
    assert!(
        told["error"].as_str().is_some_and(|error| error.contains(&found)),
        "{told}"
    );
}

/// Whoever calculates has changed nothing, and names the commit that the output is of.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_a_calculation_is_not_taken_back_with_it() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    let mut body = calculation();
    let output = body["output_file"].as_str().expect("a path").to_owned();
    let older = lab.commits("issue/42", &output, "{\"heat_kw\": 1}").await;
    let begun = lab.commits("issue/42", "a", "1").await;
    body["files"] = json!({});
    body["input_files"] = json!(["a"]);
    let started = lab.post("/api/calculations", &body).await.json();
    answers(&lab, &json!({"commitHash": older, "output_file": output})).await;
    let saga = format!(
        "/api/sagas/{}?wait_seconds=10",
        started["saga_id"].as_str().expect("an id")
    );
    assert_eq!(lab.get(&saga).await.json()["status"], "Failed");
    let told = lab.post("/api/calculations", &body).await.json();
    let error = told["error"].as_str().unwrap_or_default();
    assert!(error.contains(&older) && error.contains(&begun), "{told}");
    assert_eq!(lab.head("issue/42").await, begun);
}

/// Its message was sent and answered: what is wrong now is nothing that is still on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_calculation_whose_output_cannot_be_read_is_told_and_taken_again() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    lab.commits("issue/42", "a", "1").await;
    let mut body = calculation();
    body["files"] = json!({});
    body["input_files"] = json!(["a"]);
    let started = lab.post("/api/calculations", &body).await.json();
    assert_eq!(started["status"], "running");
    let output = body["output_file"].as_str().expect("a path");
    let refusal = FaultKind::answer(403, "application/json", "{\"message\": \"no rights\"}");
    lab.fail("GET", "/repository/files", refusal, 100).await;
    calculates(&lab, "balance.condenser", output).await;
    let forbidden = lab
        .post("/api/calculations", &body)
        .await
        .problem(403, "gitlab_forbidden");
    assert_eq!(forbidden["saga_id"], started["saga_id"]);
    lab.double.control().heal().await.expect("it does");
    let told = lab.post("/api/calculations", &body).await.json();
    assert_eq!(
        (&told["saga_id"], &told["status"]),
        (&started["saga_id"], &json!("completed"))
    );
}

/// It is asked for again, as where the calculation itself tells of an error.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_the_contract_stops_no_balance() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    let first = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
    for answer in [json!({"movedTo": "main"}), json!({"commitHash": null}), json!("done")] {
        enters(&lab, &first, &json!({"steam_flow_kg_s": 200})).await;
        answers(&lab, &answer).await;
        let again = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
        assert_eq!(again["saga_id"], first["saga_id"]);
    }
}

/// It has pushed something else, or something that is no JSON.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_missing_or_no_json_stops_no_balance() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    let first = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
    for (path, why) in [
        ("elsewhere.json", "there is no file condenser_output.json"),
        ("condenser_output.json", "cannot be read as JSON"),
    ] {
        enters(&lab, &first, &json!({"steam_flow_kg_s": 200})).await;
        let message = lab.claims("celery").await;
        let commit = lab.commits("issue/42", path, "{\"heat_kw\": NaN}").await;
        let answer = json!({"commitHash": commit, "output_file": "condenser_output.json"});
        ends(&lab, &message, &answer).await;
        let again = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
        assert_eq!((&again["saga_id"], &again["drifts"]), (&first["saga_id"], &json!([])));
        let prompt = again["prompt"].as_str().unwrap_or_default();
        assert!(prompt.contains(why), "{prompt}");
    }
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
    enters(&lab, &first, &json!({"steam_flow_kg_s": -1})).await;
    cannot_calculate(&lab, "balance.condenser").await;
    let forbidden = lab.post(BALANCE, &issue()).await.problem(403, "gitlab_forbidden");
    assert_eq!(forbidden["saga_id"], id);
    lab.double.control().heal().await.expect("it does");
    let again = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
    assert_eq!(again["saga_id"], id);
}

/// All who do something in GitLab are away for longer than the step has.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_nobody_did_in_its_time_is_told_and_taken_again() {
    let lab = Lab::start().await;
    let look = json!({"name": "gitlab.file_exists", "input": {"project": PROJECT, "branch": "main", "path": "a"},
        "ttl_seconds": 3, "raises": {"success": "looked"}});
    let own = json!({"name": "calculate-balance", "initial": "Initial", "states": {
        "Initial": {"on": {"start": {"target": "Checking"}}},
        "Checking": {"on_entry": [look], "on": {"looked": {"target": "Done"}}},
        "Done": {"final": true}}});
    let given = lab.put("/api/saga-definitions/calculate-balance", &own).await;
    assert!(given.status.is_success(), "{given:?}");
    let stop = CancellationToken::new();
    lab.engine.start_background(true, &TaskTracker::new(), &stop);
    let away = lab.post(&format!("{BALANCE}?wait_seconds=30"), &issue()).await;
    let id = away.problem(503, "gitlab_unavailable")["saga_id"].clone();

    let _worker = Working::start(&lab).await;
    let done = told(&lab.post(BALANCE, &issue()).await, 200, ["completed", "", ""]);
    assert_eq!(done["saga_id"], id);
    stop.cancel();
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
