use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use super::lab::{Lab, of_project};
use crate::common::request;

const ALICE: u64 = 1;
const BOB: u64 = 2;

fn titles(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items");
    items
        .iter()
        .map(|issue| issue["title"].as_str().expect("a title"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn issues_are_those_of_the_user_newest_first() {
    let lab = Lab::start().await;
    lab.issue("first", ALICE).await;
    lab.issue("of bob", BOB).await;
    lab.issue("second", ALICE).await;
    let own = lab.get(&of_project("issues", "")).await;
    assert_eq!(own.status, 200, "{own:?}");
    let list = own.json();
    assert_eq!(titles(&list), ["second", "first"]);
    assert_eq!((&list["has_more"], &list["next_cursor"]), (&json!(false), &Value::Null));
    let issue = &list["items"][0];
    assert_eq!(
        (&issue["iid"], &issue["state"], &issue["assignees"]),
        (&json!(3), &json!("opened"), &json!(["alice"]))
    );
    assert!(
        issue["web_url"]
            .as_str()
            .is_some_and(|url| url.starts_with(lab.double.url())),
        "{issue}"
    );

    let of = |user: &'static str| {
        let request = request(Method::GET, "/api/issues").header("x-gitlab-user", user);
        lab.send(request.body(Body::empty()).expect("a request"))
    };
    assert_eq!(titles(&of("bob").await.json()), ["of bob"]);
    of("../alice").await.problem(400, "invalid_header");
    assert_eq!(
        titles(&lab.get(&of_project("issues", "&state=closed")).await.json()),
        [""; 0]
    );
    assert_eq!(
        titles(&lab.get(&of_project("issues", "&state=all")).await.json()).len(),
        2
    );
    let refused = lab.get("/api/issues?state=open").await.problem(422, "invalid_query");
    assert_eq!(refused["errors"][0]["pointer"], "/state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_longer_than_is_read_says_so() {
    let lab = Lab::start().await;
    for number in 0..1_001 {
        lab.issue(&number.to_string(), ALICE).await;
    }
    let list = lab.get("/api/issues").await.json();
    assert_eq!(titles(&list).len(), 1_000);
    assert_eq!((&list["has_more"], titles(&list)[0]), (&json!(true), "1000"));
}
