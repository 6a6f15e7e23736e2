//! The facade starts calculations, finds those that it has started, and takes those again that GitLab has stopped.

use orchestratum_core::JsonText;
use orchestratum_core::task::Ending;
use orchestratum_store::{ClaimedTask, Evidence};
use orchestratum_testkit::{FaultKind, PROJECT};
use serde_json::{Value, json};

use super::lab::{Lab, Working};
use crate::common::Answer;
use crate::sagas::on_both;

pub(super) const BALANCE: &str = "/saga/calculate-balance";

/// The keys of the message to whoever calculates, in order.
const CONTRACT: [&str; 6] = [
    "branch",
    "commitHash",
    "correlationId",
    "input_files",
    "output_file",
    "repoUrl",
];

/// What a balance waits for first: somebody who completes the input of the condenser.
pub(super) const CONDENSER_ASKED: [&str; 3] = [
    "user_input_required",
    "AWAIT_USER_CONDENSER_INPUT",
    "CONDENSER_CALCULATION",
];

on_both!("multi_thread", super::Lab;
    a_balance_is_calculated_with_a_person_and_begun_again_when_it_is_over,
    a_balance_that_gitlab_stops_is_told_so_and_taken_again_by_the_same_call,
    what_cannot_be_calculated_starts_nothing,
    a_calculation_is_started_once_for_its_body_or_its_key,
    a_part_of_a_balance_that_gitlab_stops_is_told_and_taken_again_likewise,
    one_balance_follows_another_and_a_definition_that_was_given_stays,
    a_balance_that_is_to_stop_tells_that_it_failed_where_others_were,
    a_calculation_over_a_queue_carries_exactly_the_message_of_the_contract,
);

pub(super) fn issue() -> Value {
    json!({"project": PROJECT, "issue_iid": 42})
}

pub(super) async fn with_input(lab: &Lab) {
    let input = json!({
        "turbine": {"exhaust": {"flow_kg_s": 210.5, "enthalpy_kj_kg": 2400}},
        "cooling_water": {"inlet_c": 18, "outlet_c": 27}, "condensate": {"enthalpy_kj_kg": 140},
    });
    lab.commits("main", "balance_input.json", &input.to_string()).await;
}

/// Somebody answers what a balance asks.
pub(super) async fn enters(lab: &Lab, asked: &Value, data: &Value) {
    let path = format!("/api/sagas/{}/input", asked["saga_id"].as_str().expect("an id"));
    let entered = lab.post(&path, &json!({"data": data})).await;
    assert_eq!(entered.status, 200, "{entered:?}");
}

/// Whoever calculates: takes one message, commits the output, and says so.
pub(super) async fn calculates(lab: &Lab, name: &str, output: &str) -> Value {
    let task = lab.claims("celery").await;
    let input: Value = serde_json::from_str(task.input.as_str()).expect("JSON");
    assert_eq!(input["task"], name);
    let commit = lab.commits("issue/42", output, "{\"heat_kw\": 1}").await;
    ends(lab, &task, &json!({"commitHash": commit, "output_file": output})).await;
    input["kwargs"].clone()
}

/// Whoever calculates takes one message, and gives this answer to it.
pub(super) async fn answers(lab: &Lab, answer: &Value) {
    let task = lab.claims("celery").await;
    ends(lab, &task, answer).await;
}

pub(super) async fn ends(lab: &Lab, task: &ClaimedTask, output: &Value) {
    let evidence = Evidence {
        output: Some(JsonText::trusted(output.to_string())),
        ..Evidence::default()
    };
    lab.finish(task.id, task.attempt, Ending::Success, evidence).await;
}

fn keys(message: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = message
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
pub(super) fn told(answer: &Answer, status: u16, words: [&str; 3]) -> Value {
    let document = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    let of = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    assert_eq!([of("status"), of("step"), of("next_step")], words, "{document}");
    document
}

async fn a_balance_is_calculated_with_a_person_and_begun_again_when_it_is_over(lab: &Lab) {
    let _worker = Working::start(lab).await;
    with_input(lab).await;
    let first = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
    let id = first["saga_id"].as_str().expect("an id").to_owned();
    assert_eq!(
        told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED)["saga_id"],
        id,
        "it is found"
    );
    assert!(
        first["prompt"]
            .as_str()
            .is_some_and(|prompt| prompt.contains("condenser_input.json")),
        "{first}"
    );

    let by_number = json!({"project": "1", "issue_iid": 42});
    let found = told(&lab.post(BALANCE, &by_number).await, 200, CONDENSER_ASKED);
    assert_eq!(found["saga_id"], id, "it is the same project");

    enters(lab, &first, &json!({"steam_flow_kg_s": 200})).await;
    let running = lab.post(&format!("{BALANCE}?wait_seconds=0"), &issue()).await;
    assert_eq!((running.status.as_u16(), &running.json()["saga_id"]), (202, &json!(id)));
    let message = calculates(lab, "balance.condenser", "condenser_output.json").await;
    assert_eq!(keys(&message), CONTRACT);
    calculates(lab, "balance.total", "balance_output.json").await;
    told(
        &lab.post(BALANCE, &issue()).await,
        200,
        ["user_input_required", "AWAIT_USER_MERGE_REQUEST", "MERGE_REQUEST"],
    );
    let input = format!("/api/sagas/{id}/input");
    for (data, pointer) in [
        (json!({"create": true, "title": "a\nb"}), "/data/title"),
        (json!({"create": true, "title": " "}), "/data/title"),
        (
            json!({"create": true, "description": "<!-- orchestratum-step: a -->"}),
            "/data/description",
        ),
    ] {
        let refused = lab.post(&input, &json!({"data": data})).await;
        let problem = refused.problem(422, "invalid_body");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let long = "й".repeat(40_000);
    let decided = json!({"create": false, "title": "Баланс", "description": long});
    enters(lab, &first, &decided).await;
    let done = lab.get(&format!("/api/sagas/{id}?wait_seconds=10")).await;
    assert_eq!(done.json()["status"], "Completed", "{done:?}");
    let next = lab.post(BALANCE, &issue()).await.json();
    assert_ne!(next["saga_id"], id, "the one before is over");
    let saga = lab
        .get(&format!("/api/sagas/{}", next["saga_id"].as_str().expect("an id")))
        .await
        .json();
    assert_eq!(saga["correlation_id"], "1:issue/42:42#2");
}

async fn a_balance_that_gitlab_stops_is_told_so_and_taken_again_by_the_same_call(lab: &Lab) {
    let _worker = Working::start(lab).await;
    let missing = lab.post(BALANCE, &issue()).await.problem(404, "gitlab_not_found");
    let id = missing["saga_id"].as_str().expect("the saga").to_owned();
    assert!(
        missing["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("balance_input.json")),
        "{missing}"
    );
    lab.commits("issue/42", "balance_input.json", "{\"turbine\": 1}").await;
    let content = lab.post(BALANCE, &issue()).await;
    // Somebody else has committed: it begins anew, and meets the file.
    assert_eq!(content.problem(422, "gitlab_content")["saga_id"], id);
    lab.fail(
        "HEAD",
        "files",
        FaultKind::answer(403, "application/json", "{\"message\": \"no rights\"}"),
        1,
    )
    .await;
    lab.fail(
        "GET",
        "files",
        FaultKind::answer(403, "application/json", "{\"message\": \"no rights\"}"),
        1,
    )
    .await;
    let forbidden = lab.post(BALANCE, &issue()).await.problem(403, "gitlab_forbidden");
    assert_eq!(forbidden["saga_id"], id);
    assert!(
        forbidden["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("no rights")),
        "{forbidden}"
    );
}

async fn what_cannot_be_calculated_starts_nothing(lab: &Lab) {
    let other = json!({"project": "grp/other", "issue_iid": 1});
    lab.post(BALANCE, &other).await.problem(404, "gitlab_not_found");
    let mut elsewhere = issue();
    elsewhere["target_branch"] = json!("release/9");
    let problem = lab.post(BALANCE, &elsewhere).await.problem(404, "gitlab_not_found");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("release/9")),
        "{problem}"
    );
    for (field, value, pointer) in [
        ("project", json!("../users"), "/project"),
        ("branch", json!("a/%2e%2e/b"), "/branch"),
        ("target_branch", json!("/a"), "/target_branch"),
        ("issue_iid", json!(0), "/issue_iid"),
        ("dependencies", json!(["condenser", "Condenser"]), "/dependencies/1"),
        ("dependencies", json!(["a", "a"]), "/dependencies/1"),
        ("dependencies", json!(["balance"]), "/dependencies/0"),
        ("target_branch", json!("issue/42"), "/target_branch"),
        ("branch", json!("main"), "/target_branch"),
        ("delivery", json!("mail"), "/delivery"),
        ("on_drift", json!("merge"), "/on_drift"),
        ("issue", json!(1), "/issue"),
    ] {
        let mut body = issue();
        body[field] = value;
        let problem = lab.post(BALANCE, &body).await.problem(422, "invalid_body");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let mut calculation = calculation();
    let no_branch = lab.post("/api/calculations", &calculation).await;
    no_branch.problem(404, "gitlab_not_found");
    calculation["files"] = json!({"../a": 1});
    lab.post("/api/calculations", &calculation)
        .await
        .problem(422, "invalid_body");
    let sagas = lab.get("/api/sagas").await.json();
    assert_eq!(sagas["items"], json!([]));
}

pub(super) fn calculation() -> Value {
    json!({"project": PROJECT, "branch": "issue/42", "name": "balance.condenser", "issue_iid": 42,
        "files": {"condenser_input.json": {"a": 1}}, "output_file": "condenser_output.json"})
}

async fn a_calculation_is_started_once_for_its_body_or_its_key(lab: &Lab) {
    let _worker = Working::start(lab).await;
    lab.commits("issue/42", "a", "1").await;
    let started = lab.post("/api/calculations", &calculation()).await;
    assert_eq!(started.status, 202, "{started:?}");
    let document = started.json();
    let again = lab.post("/api/calculations", &calculation()).await;
    assert_eq!(
        (again.header("idempotent-replay"), again.json()),
        ("true", document.clone())
    );
    let task = lab.claims("celery").await;
    assert_eq!(document["task_id"], task.id.to_string());
    let input: Value = serde_json::from_str(task.input.as_str()).expect("JSON");
    let message = &input["kwargs"];
    assert_eq!(message["correlationId"], document["correlation_id"]);
    assert_eq!(message["commitHash"], document["commit_hash"]);
    assert_eq!(message["input_files"], json!(["condenser_input.json"]));
    let branch = lab
        .ask(
            reqwest::Method::GET,
            "projects/1/repository/branches/issue%2F42",
            &json!({}),
        )
        .await;
    assert_eq!(document["commit_hash"], branch["commit"]["id"]);

    let keyed = lab
        .post_with(
            "/api/calculations",
            &[("idempotency-key", "other")],
            &calculation().to_string(),
        )
        .await;
    assert_eq!(keyed.status, 202, "{keyed:?}");
    assert_ne!(keyed.json()["saga_id"], document["saga_id"]);
    let away = FaultKind::answer(503, "text/plain", "away");
    lab.fail("GET", "projects", away, 100).await;
    let replayed = lab
        .post_with(
            "/api/calculations",
            &[("idempotency-key", "other")],
            &calculation().to_string(),
        )
        .await;
    assert_eq!(
        (replayed.header("idempotent-replay"), &replayed.json()["saga_id"]),
        ("true", &keyed.json()["saga_id"]),
        "GitLab is not asked for what is there"
    );
    lab.double.control().heal().await.expect("it does");
    let mut other = calculation();
    other["output_file"] = json!("other.json");
    let reused = lab
        .post_with("/api/calculations", &[("idempotency-key", "other")], &other.to_string())
        .await;
    reused.problem(422, "idempotency_key_reused");
    let gone = json!({"project": PROJECT, "branch": "gone", "name": "a", "output_file": "b"});
    lab.post("/api/calculations", &gone)
        .await
        .problem(404, "gitlab_not_found");
}

async fn a_part_of_a_balance_that_gitlab_stops_is_told_and_taken_again_likewise(lab: &Lab) {
    let _worker = Working::start(lab).await;
    with_input(lab).await;
    let asked = lab.post(BALANCE, &issue()).await.json();
    let id = asked["saga_id"].as_str().expect("an id").to_owned();
    let refusal = FaultKind::answer(403, "application/json", "{\"message\": \"no rights\"}");
    lab.fail("GET", "files/condenser_output.json", refusal, 100).await;
    enters(lab, &asked, &json!({"steam_flow_kg_s": 200})).await;
    calculates(lab, "balance.condenser", "condenser_output.json").await;
    let forbidden = lab.post(BALANCE, &issue()).await.problem(403, "gitlab_forbidden");
    assert_eq!(
        forbidden["saga_id"], id,
        "it is that of the caller, not that of the part"
    );
    lab.double.control().heal().await.expect("it does");
    let again = lab.post(&format!("{BALANCE}?wait_seconds=0"), &issue()).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["saga_id"]),
        (202, &json!(id)),
        "{again:?}"
    );
    calculates(lab, "balance.total", "balance_output.json").await;
}

async fn one_balance_follows_another_and_a_definition_that_was_given_stays(lab: &Lab) {
    let own = json!({"name": "calculate-balance", "initial": "Initial", "states": {
        "Initial": {"on": {"start": {"target": "Done"}}}, "Done": {"final": true}}});
    let given = lab.put("/api/saga-definitions/calculate-balance", &own).await;
    assert!(given.status.is_success(), "{given:?}");
    let defined = lab.engine.define_shipped().await.expect("they are there");
    assert_eq!(defined, []);
    let mut known = Vec::new();
    for number in 1..=13 {
        let ended = told(&lab.post(BALANCE, &issue()).await, 200, ["completed", "", ""]);
        let saga = lab
            .get(&format!("/api/sagas/{}", ended["saga_id"].as_str().expect("an id")))
            .await
            .json();
        let key = "1:issue/42:42".to_owned();
        let expected = if number == 1 { key } else { format!("{key}#{number}") };
        assert_eq!(saga["correlation_id"], expected);
        known.push(saga["id"].clone());
    }
    known.dedup();
    assert_eq!(known.len(), 13);
}

async fn a_balance_that_is_to_stop_tells_that_it_failed_where_others_were(lab: &Lab) {
    let _worker = Working::start(lab).await;
    with_input(lab).await;
    let mut stopping = issue();
    stopping["on_drift"] = json!("stop");
    let asked = lab.post(BALANCE, &stopping).await.json();
    let theirs = lab.commits("issue/42", "other", "1").await;
    // It is on its way for as long as it takes to ask for it.
    lab.fail(
        "GET",
        "repository/commits",
        FaultKind::SlowAnswer { milliseconds: 1_500 },
        1,
    )
    .await;
    let id = asked["saga_id"].as_str().expect("an id");
    enters(lab, &asked, &json!({"steam_flow_kg_s": 200})).await;
    let failed = told(
        &lab.post(BALANCE, &stopping).await,
        200,
        ["failed", "CONDENSER_CALCULATION", ""],
    );
    assert_eq!(failed["saga_id"], id);
    let drift = json!({"step": "CONDENSER_CALCULATION", "expected": asked["commit"], "found": theirs});
    assert_eq!(failed["drifts"], json!([drift]));
    assert!(
        failed["error"].as_str().is_some_and(|error| error.contains(&theirs)),
        "{failed}"
    );
}

async fn a_calculation_over_a_queue_carries_exactly_the_message_of_the_contract(lab: &Lab) {
    let _worker = Working::start(lab).await;
    let head = lab.commits("issue/42", "a", "1").await;
    let request = json!({"project": PROJECT, "branch": "issue/42", "name": "balance.total", "delivery": "amqp",
        "input_files": ["a"], "output_file": "b.json"});
    let started = lab.post("/api/calculations", &request).await;
    assert_eq!(started.status, 202, "{started:?}");
    let document = started.json();
    let task = lab.claims("amqp").await;
    assert_eq!(document["task_id"], task.id.to_string());
    let input: Value = serde_json::from_str(task.input.as_str()).expect("JSON");
    assert_eq!(
        (&input["routing_key"], keys(&input["body"])),
        (&json!("balance.total"), CONTRACT.to_vec())
    );
    // Nothing is committed before: what stands there now is calculated.
    assert_eq!(
        (&input["body"]["commitHash"], &document["commit_hash"]),
        (&json!(head), &json!(head))
    );
    let output = lab.commits("issue/42", "b.json", "{\"kw\": 1}").await;
    let answer = json!({"body": {"commitHash": output, "output_file": "b.json"}});
    ends(lab, &task, &answer).await;
    let path = format!(
        "/api/sagas/{}?wait_seconds=10",
        document["saga_id"].as_str().expect("an id")
    );
    let saga = lab.get(&path).await.json();
    assert_eq!(
        (&saga["status"], &saga["context"]["output"]),
        (&json!("Completed"), &json!({"kw": 1}))
    );
    assert_eq!(saga["context"]["commit"], output);
}
