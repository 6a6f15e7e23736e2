//! Follow-ups over HTTP: what is taken, what is refused and where, and the tree of what came of it.

use crate::common::Api;
use axum::http::StatusCode;
use orchestratum_core::JsonText;
use orchestratum_core::task::Ending;
use orchestratum_store::Evidence;
use serde_json::{Value, json};

fn success(output: &Value) -> Evidence {
    Evidence {
        output: Some(JsonText::of(output).expect("JSON")),
        ..Evidence::default()
    }
}

#[tokio::test]
async fn the_lists_of_a_task_are_answered_as_they_were_given() {
    let api = Api::start().await;
    let lists = json!({
        "on_success": [{"name": "mail", "input": {"total": "${ output.total }"}, "on_failure": [{"name": "echo"}]}],
        "on_failure": [{"name": "echo", "input": "${ error.kind }"}, {"name": "echo", "delay_seconds": "${ 1 + 1 }"}],
        "on_cancel": [],
        "on_expire": [{"name": "echo", "labels": {}}],
    });
    let mut body = json!({"name": "echo"});
    for (field, list) in lists.as_object().expect("an object") {
        body[field] = list.clone();
    }
    let created = api.post("/api/tasks", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let task = created.json();
    for (field, list) in lists.as_object().expect("an object") {
        assert_eq!(task[field], *list, "{field}");
    }
    assert_eq!((&task["edge"], &task["parent_run"]), (&Value::Null, &Value::Null));
    let id = task["id"].as_str().expect("an id");
    assert_eq!(api.get(&format!("/api/tasks/{id}")).await.json(), task);
    // Nothing is asked for by leaving them out, by null, and by an empty list.
    for none in [json!({}), json!({"on_success": null}), json!({"on_success": []})] {
        let mut body = json!({"name": "echo"});
        for (field, list) in none.as_object().expect("an object") {
            body[field] = list.clone();
        }
        assert_eq!(api.post("/api/tasks", &body).await.json()["on_success"], json!([]));
    }
}

#[tokio::test]
async fn what_can_never_work_is_refused_with_its_place() {
    let api = Api::start().await;
    for (list, pointer, message) in [
        (
            json!([{"name": "echo", "input": {"total": "${ outptu.total }"}}]),
            "/on_success/0/input/total",
            "at character 4: there is no variable outptu; there are output, error, input, task",
        ),
        (
            json!([{"name": "echo"}, {"name": "echo", "on_expire": [{"name": "echo", "input": ["${ 1 + 'a' }"]}]}]),
            "/on_success/1/on_expire/0/input/0",
            "at character 6: + does not take int and string",
        ),
        (
            json!([{"name": "shell"}]),
            "/on_success/0/input",
            "must be an object, not null",
        ),
        (
            json!([{"name": "echo", "id": "x"}]),
            "/on_success/0/id",
            "unknown field `id`",
        ),
        (
            json!([{"name": "echo", "tll_seconds": 1}]),
            "/on_success/0/tll_seconds",
            "unknown field `tll_seconds`",
        ),
        (
            json!([5]),
            "/on_success/0",
            "invalid type: integer `5`, expected an object",
        ),
        (json!({}), "/on_success", "invalid type: map, expected an array"),
        (
            json!([{"name": "echo", "input": "${ output"}]),
            "/on_success/0/input",
            "at character 3: the expression has no }",
        ),
        (
            json!(vec![json!({"name": "echo"}); 1_001]),
            "/on_success",
            "a task must not have more than 1000 follow-ups in all",
        ),
    ] {
        let refused = api
            .post("/api/tasks", &json!({"name": "echo", "on_success": list}))
            .await
            .problem(422, "invalid_body");
        let error = &refused["errors"][0];
        assert_eq!(error["pointer"], pointer, "{refused}");
        assert!(
            error["message"].as_str().is_some_and(|told| told.starts_with(message)),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_chain_may_be_twenty_deep_in_a_batch_too() {
    let api = Api::start().await;
    let chain = |depth: usize| {
        (0..depth).fold(
            json!({"name": "echo"}),
            |inner, _| json!({"name": "echo", "on_success": [inner]}),
        )
    };
    assert_eq!(api.post("/api/tasks", &chain(20)).await.status, StatusCode::CREATED);
    let refused = api.post("/api/tasks", &chain(21)).await.problem(422, "invalid_body");
    assert_eq!(
        refused["errors"][0]["message"],
        "follow-ups must not lie deeper than 20 in each other"
    );
    let batch = json!({"tasks": [{"name": "echo"}, {"name": "echo", "on_cancel": [{"name": "a b"}]}]});
    let refused = api.post("/api/tasks/batch", &batch).await.problem(422, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/tasks/1/on_cancel/0/name");
    assert_eq!(api.count().await, 1, "nothing of what was refused is stored");
}

#[tokio::test]
async fn a_tree_shows_what_followed_and_what_is_missing() {
    let api = Api::start().await;
    let root = api
        .create(json!({
            "name": "echo",
            "on_success": [
                {"name": "echo", "input": "${ output.n + 1 }"},
                {"name": "echo", "input": "${ output.missing }"},
                {"name": "mail", "delay_seconds": 60}
            ]
        }))
        .await;
    let lone = api.get(&format!("/api/tasks/{root}/tree")).await.json();
    assert_eq!(
        (&lone["follow_ups"], &lone["missing_follow_ups"]),
        (&json!([]), &json!([]))
    );

    let claimed = api.claim().await;
    api.finish(claimed.id, claimed.attempt, Ending::Success, success(&json!({"n": 41})))
        .await;
    let tree = api.get(&format!("/api/tasks/{root}/tree")).await.json();
    assert_eq!(
        (&tree["id"], &tree["status"], &tree["truncated"]),
        (&json!(root), &json!("Completed"), &json!(false))
    );
    let follow_ups = tree["follow_ups"].as_array().expect("a list");
    let shown: Vec<_> = follow_ups
        .iter()
        .map(|task| {
            (
                &task["name"],
                &task["input"],
                &task["edge"],
                &task["parent_run"],
                &task["parent_id"],
            )
        })
        .collect();
    let (edge, run, parent) = (json!("on_success"), json!(1), json!(root));
    assert_eq!(
        shown,
        [
            (&json!("echo"), &json!(42), &edge, &run, &parent),
            (&json!("mail"), &Value::Null, &edge, &run, &parent)
        ]
    );
    let missing = &tree["missing_follow_ups"][0];
    for (field, expected) in [
        ("run", json!(1)),
        ("edge", json!("on_success")),
        ("index", json!(1)),
        ("name", json!("echo")),
        ("cause", json!("Failed")),
        ("reason", json!("/input there is no field \"missing\"")),
    ] {
        assert_eq!(missing[field], expected, "{field}");
    }

    let listed = api.get(&format!("/api/tasks?parent_id={root}")).await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_tree_goes_on_with_a_cancel_and_shows_what_was_deleted() {
    let api = Api::start().await;
    let follow_up = json!({"name": "mail", "on_cancel": [{"name": "mail", "input": "${ task.run }"}]});
    let root = api.create(json!({"name": "echo", "on_success": [follow_up]})).await;
    let claimed = api.claim().await;
    api.finish(claimed.id, claimed.attempt, Ending::Success, Evidence::default())
        .await;
    let tree = api.get(&format!("/api/tasks/{root}/tree")).await.json();
    let child = tree["follow_ups"][0]["id"].as_str().expect("an id").to_owned();
    api.post_empty(&format!("/api/tasks/{child}/cancel")).await;
    let tree = api.get(&format!("/api/tasks/{root}/tree")).await.json();
    assert_eq!(tree["follow_ups"][0]["follow_ups"][0]["input"], 1);
    assert_eq!(tree["follow_ups"][0]["follow_ups"][0]["edge"], "on_cancel");

    // What is deleted leaves a gap that says so.
    let grandchild = tree["follow_ups"][0]["follow_ups"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    api.post_empty(&format!("/api/tasks/{grandchild}/cancel")).await;
    assert_eq!(
        api.delete(&format!("/api/tasks/{grandchild}")).await.status,
        StatusCode::NO_CONTENT
    );
    let gap = api.get(&format!("/api/tasks/{child}/tree")).await.json();
    assert_eq!(gap["missing_follow_ups"][0]["cause"], "Deleted");
    assert_eq!(gap["missing_follow_ups"][0]["reason"], Value::Null);
    api.get("/api/tasks/01936e5a-7c00-7000-8000-000000000000/tree")
        .await
        .problem(404, "task_not_found");
    api.get(&format!("/api/tasks/{root}/tree?depth=1"))
        .await
        .problem(422, "invalid_query");
}

#[tokio::test]
async fn a_tree_that_is_too_large_says_so() {
    let api = Api::start().await;
    let wide = json!(vec![json!({"name": "mail"}); 600]);
    let root = api
        .create(json!({"name": "echo", "on_success": [{"name": "echo", "on_success": wide}], "on_failure": []}))
        .await;
    for _ in 0..2 {
        let claimed = api.claim().await;
        api.finish(claimed.id, claimed.attempt, Ending::Success, Evidence::default())
            .await;
    }
    let tree = api.get(&format!("/api/tasks/{root}/tree")).await.json();
    assert_eq!(tree["truncated"], false);
    assert_eq!(tree["follow_ups"][0]["follow_ups"].as_array().map(Vec::len), Some(600));

    let large = json!("x".repeat(1_000_000));
    let six = json!(vec![json!({"name": "echo", "input": "${ output }"}); 6]);
    let root = api.create(json!({"name": "echo", "on_success": six})).await;
    for _ in 0..7 {
        let claimed = api.claim().await;
        api.finish(claimed.id, claimed.attempt, Ending::Success, success(&large))
            .await;
    }
    // Two megabytes each, with what came in and what went out.
    let tree = api.get(&format!("/api/tasks/{root}/tree")).await.json();
    assert_eq!(tree["truncated"], true);
    assert_eq!(tree["follow_ups"].as_array().map(Vec::len), Some(4));
}
