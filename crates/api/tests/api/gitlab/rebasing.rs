//! Others work on the branch of a balance that begins anew then, with what stands there: nothing of theirs is written over unasked, and
//! nothing is calculated of which nobody has been asked.

use orchestratum_testkit::{FaultKind, eventually};
use serde_json::{Value, json};

use super::calculations::{BALANCE, calculates, issue, told, with_input};
use super::lab::{Lab, Working};

const ASKED: [&str; 3] = [
    "user_input_required",
    "AWAIT_USER_CONDENSER_INPUT",
    "CONDENSER_CALCULATION",
];

const INPUT: &str = "condenser_input.json";

async fn enters(lab: &Lab, asked: &Value, data: &Value) {
    let path = format!("/api/sagas/{}/input", asked["saga_id"].as_str().expect("an id"));
    let entered = lab.post(&path, &json!({"data": data})).await;
    assert_eq!(entered.status, 200, "{entered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_others_have_changed_is_asked_for_again_and_not_written_over() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    let first = told(&lab.post(BALANCE, &issue()).await, 200, ASKED);
    let theirs = lab
        .changes("issue/42", INPUT, &json!({"steam_flow_kg_s": 7}).to_string())
        .await;
    enters(&lab, &first, &json!({"steam_flow_kg_s": 200})).await;
    let again = told(&lab.post(BALANCE, &issue()).await, 200, ASKED);
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
    let asked = told(&lab.post(BALANCE, &issue()).await, 200, ASKED);
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
