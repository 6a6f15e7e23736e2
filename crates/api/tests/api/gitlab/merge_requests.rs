use orchestratum_testkit::{FaultKind, PROJECT};
use reqwest::Method;
use serde_json::{Value, json};

use super::lab::Lab;
use crate::common::Answer;

const PATH: &str = "/api/merge-requests";

fn body() -> Value {
    json!({"project": PROJECT, "source_branch": "issue/1", "target_branch": "main", "title": "Balance",
        "description": "Calculated.", "issue_iid": 1})
}

async fn made(lab: &Lab) -> Vec<Value> {
    let all = lab
        .ask(Method::GET, "projects/1/merge_requests?state=all", &json!({}))
        .await;
    all.as_array().expect("a list").clone()
}

fn answered(answer: &Answer, status: u16, iid: u64) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    let document = answer.json();
    assert_eq!(
        (&document["iid"], &document["existing"]),
        (&json!(iid), &json!(status == 200))
    );
    assert_eq!(answer.header("location"), document["web_url"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_request_is_made_once_for_its_branches() {
    let lab = Lab::start().await;
    lab.commits("issue/1", "a", "1").await;
    answered(&lab.post(PATH, &body()).await, 201, 1);
    answered(&lab.post(PATH, &body()).await, 200, 1);
    let all = made(&lab).await;
    assert_eq!(all.len(), 1, "{all:?}");
    let description = all[0]["description"].as_str().expect("a description");
    assert!(description.starts_with("Calculated.\n\nCloses #1"), "{description}");
    // One that was closed is no hindrance.
    lab.ask(
        Method::PUT,
        "projects/1/merge_requests/1",
        &json!({"state_event": "close"}),
    )
    .await;
    answered(&lab.post(PATH, &body()).await, 201, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_request_whose_answer_was_lost_is_found() {
    let lab = Lab::start().await;
    lab.commits("issue/1", "a", "1").await;
    lab.fail("POST", "merge_requests", FaultKind::LoseAnswer, 1).await;
    answered(&lab.post(PATH, &body()).await, 201, 1);
    assert_eq!(made(&lab).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_does_not_make_is_told_with_what_it_said() {
    let lab = Lab::start().await;
    let refused = lab.post(PATH, &body()).await;
    assert!(refused.status.is_client_error(), "{refused:?}");
    let refused = refused.json();
    assert!(
        matches!(refused["code"].as_str(), Some("gitlab_refused" | "gitlab_not_found")),
        "{refused}"
    );
    let mut unknown = body();
    unknown["labels"] = json!([]);
    let unknown = lab.post(PATH, &unknown).await.problem(422, "invalid_body");
    assert_eq!(unknown["errors"][0]["pointer"], "/labels");
    let missing = lab.post(PATH, &json!({})).await.problem(422, "invalid_body");
    assert_eq!(missing["errors"].as_array().map(Vec::len), Some(4), "{missing}");
}
