//! Others work on the branch of a balance that begins anew then, with what stands there: nothing of theirs is written over unasked, and
//! nothing is calculated of which nobody has been asked.

use orchestratum_testkit::{FaultKind, eventually};
use serde_json::json;

use super::calculations::{BALANCE, CONDENSER_ASKED, answers, calculates, enters, issue, told, with_input};
use super::lab::{Lab, Working};

const INPUT: &str = "condenser_input.json";

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_others_have_changed_is_asked_for_again_and_not_written_over() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    let first = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
    let theirs = lab
        .changes("issue/42", INPUT, &json!({"steam_flow_kg_s": 7}).to_string())
        .await;
    enters(&lab, &first, &json!({"steam_flow_kg_s": 200})).await;
    let again = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
    assert_eq!(again["saga_id"], first["saga_id"]);
    assert_eq!(again["commit"], theirs, "nothing was committed upon it");
    let prompt = again["prompt"].as_str().unwrap_or_default();
    assert!(
        prompt.contains("others have changed it") && prompt.contains(&theirs),
        "{again}"
    );
    let drift = json!({"step": "CONDENSER_CALCULATION", "expected": first["commit"], "found": theirs});
    assert_eq!(again["drifts"], json!([drift]));

    // Whoever enters it now knows of them.
    enters(&lab, &again, &json!({"steam_flow_kg_s": 207})).await;
    let message = calculates(&lab, "balance.condenser", "condenser_output.json").await;
    assert_ne!(message["commitHash"], theirs);
    assert_eq!(lab.file("issue/42", INPUT).await, json!({"steam_flow_kg_s": 207}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_was_prepared_in_the_moment_in_which_others_came_is_asked_for() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    // After those for the branch and for the look comes the one for the commit: it is told late where the branch stood.
    for (milliseconds, times) in [(0, 2), (3_000, 1)] {
        let late = FaultKind::SlowAnswer { milliseconds };
        lab.fail("GET", "repository/branches", late, times).await;
    }
    lab.double.control().forget().await.expect("it does");
    let running = lab.post(&format!("{BALANCE}?wait_seconds=0"), &issue()).await;
    assert_eq!(running.status, 202, "{running:?}");
    eventually("the input is about to be committed", || async {
        let seen = lab.double.control().seen().await.expect("the double tells");
        let looks = seen
            .iter()
            .filter(|request| request.method == "GET" && request.path.contains("repository/branches"))
            .count();
        if looks == 3 { Ok(()) } else { Err(looks) }
    })
    .await;
    let theirs = lab.commits("issue/42", "other", "1").await;
    let asked = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
    assert_eq!(asked["drifts"][0]["found"], theirs, "{asked}");
    assert_eq!(
        lab.file("issue/42", INPUT).await["steam_flow_kg_s"],
        210.5,
        "it was made upon theirs"
    );

    enters(&lab, &asked, &json!({"steam_flow_kg_s": 200})).await;
    calculates(&lab, "balance.condenser", "condenser_output.json").await;
    assert_eq!(lab.file("issue/42", INPUT).await, json!({"steam_flow_kg_s": 200}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_moves_while_somebody_decides_is_calculated_again() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    lab.commits("issue/42", INPUT, "{\"steam_flow_kg_s\": 1}").await;
    let deciding = ["user_input_required", "AWAIT_USER_MERGE_REQUEST", "MERGE_REQUEST"];
    lab.post(&format!("{BALANCE}?wait_seconds=0"), &issue()).await;
    calculates(&lab, "balance.condenser", "condenser_output.json").await;
    calculates(&lab, "balance.total", "balance_output.json").await;
    let first = told(&lab.post(BALANCE, &issue()).await, 200, deciding);
    let theirs = lab.changes("issue/42", INPUT, "{\"steam_flow_kg_s\": 7}").await;
    enters(&lab, &first, &json!({"create": true})).await;
    for _ in 0..2 {
        answers(
            &lab,
            &json!({"commitHash": theirs, "output_file": "condenser_output.json"}),
        )
        .await;
    }
    let again = told(&lab.post(BALANCE, &issue()).await, 200, deciding);
    let drift = json!({"step": "AWAIT_USER_MERGE_REQUEST", "expected": first["commit"], "found": theirs});
    assert_eq!(again["drifts"], json!([drift]));

    // Nothing was changed by it, so nothing of theirs is taken back.
    let id = again["saga_id"].as_str().expect("an id");
    let cancelled = lab.post(&format!("/api/sagas/{id}/cancel"), &json!({})).await;
    assert!(cancelled.status.is_success(), "{cancelled:?}");
    let saga = lab.get(&format!("/api/sagas/{id}?wait_seconds=10")).await.json();
    assert_eq!(saga["status"], "Cancelled", "{saga}");
    assert_eq!(lab.file("issue/42", INPUT).await, json!({"steam_flow_kg_s": 7}));
}

/// The balance has something under the name of a dependency, and it is none of its figures.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_cannot_be_made_of_the_balance_is_told_and_taken_again_when_it_is_mended() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    lab.commits("issue/42", "balance_input.json", "{\"heater\": null}")
        .await;
    let mut body = issue();
    body["dependencies"] = json!(["heater"]);
    let id = lab.post(BALANCE, &body).await.problem(422, "gitlab_content")["saga_id"].clone();
    lab.changes("issue/42", "balance_input.json", "{\"heater\": \"31337\"}")
        .await;
    let text = lab.post(BALANCE, &body).await.problem(422, "gitlab_content");
    assert_eq!(text["saga_id"], id);
    assert!(!text.to_string().contains("31337"), "{text}");
    lab.changes("issue/42", "balance_input.json", "{\"heater\": {\"inlet_c\": 40}}")
        .await;
    let asked = ["user_input_required", "AWAIT_USER_HEATER_INPUT", "HEATER_CALCULATION"];
    let asked = told(&lab.post(BALANCE, &body).await, 200, asked);
    assert_eq!(asked["saga_id"], id);
}
