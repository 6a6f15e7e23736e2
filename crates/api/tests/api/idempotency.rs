//! A request that is repeated makes nothing twice.

use crate::common::{Api, shared};
use axum::http::StatusCode;
use orchestratum_core::JsonText;
use orchestratum_core::task::Ending;
use orchestratum_engine::identity;
use orchestratum_store::Evidence;
use serde_json::{Value, json};

const KEY: &str = "idempotency-key";

#[tokio::test]
async fn the_same_key_and_body_answer_the_same_task() {
    let api = Api::start().await;
    let headers = [(KEY, "one")];
    let first = api
        .post_with("/api/tasks", &headers, r#"{"name": "echo", "input": {"a": 1, "b": 2}}"#)
        .await;
    assert_eq!(
        (first.status, first.header("idempotent-replay")),
        (StatusCode::CREATED, "")
    );
    let again = api
        .post_with("/api/tasks", &headers, r#"{"input":{"b":2,"a":1},"name":"\u0065cho"}"#)
        .await;
    assert_eq!(
        (again.status, again.header("idempotent-replay")),
        (StatusCode::CREATED, "true")
    );
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(api.count().await, 1);
}

#[tokio::test]
async fn another_body_or_call_under_the_same_key_is_refused() {
    let api = Api::start().await;
    let headers = [(KEY, "one")];
    api.post_with("/api/tasks", &headers, r#"{"name": "echo"}"#).await;
    api.post_with("/api/tasks", &headers, r#"{"name": "echo", "input": 1}"#)
        .await
        .problem(422, "idempotency_key_reused");
    api.post_with("/api/tasks/batch", &headers, r#"{"tasks": [{"name": "echo"}]}"#)
        .await
        .problem(422, "idempotency_key_reused");
    assert_eq!(api.count().await, 1);
}

#[tokio::test]
async fn a_task_that_was_deleted_meanwhile_is_gone() {
    let api = Api::start().await;
    let created = api
        .post_with("/api/tasks", &[(KEY, "one")], r#"{"name": "echo"}"#)
        .await;
    let path = created.header("location").to_owned();
    api.post_empty(&format!("{path}/cancel")).await;
    assert_eq!(api.delete(&path).await.status, StatusCode::NO_CONTENT);
    api.post_with("/api/tasks", &[(KEY, "one")], r#"{"name": "echo"}"#)
        .await
        .problem(410, "task_gone");
}

#[tokio::test]
async fn one_key_covers_a_whole_batch() {
    let api = Api::start().await;
    let body = r#"{"tasks": [{"name": "echo"}, {"name": "echo"}]}"#;
    let first = api.post_with("/api/tasks/batch", &[(KEY, "b")], body).await;
    let again = api.post_with("/api/tasks/batch", &[(KEY, "b")], body).await;
    assert_eq!(again.header("idempotent-replay"), "true");
    assert_eq!(first.json(), again.json());
    assert_eq!(api.count().await, 2);
}

#[tokio::test]
async fn the_tasks_of_a_batch_that_have_grown_too_large_are_answered_by_their_ids() {
    let api = Api::start().await;
    let body = json!({"tasks": vec![json!({"name": "echo"}); 20]}).to_string();
    let first = api.post_with("/api/tasks/batch", &[(KEY, "b")], &body).await.json();
    assert_eq!(first["left_out"], json!([]));
    let output = JsonText::trusted(format!("\"{}\"", "x".repeat(1_000_000)));
    for _ in 0..20 {
        let claimed = api.claim().await;
        let evidence = Evidence {
            output: Some(output.clone()),
            ..Evidence::default()
        };
        api.finish(claimed.id, claimed.attempt, Ending::Success, evidence).await;
    }
    let again = api.post_with("/api/tasks/batch", &[(KEY, "b")], &body).await;
    assert_eq!(again.header("idempotent-replay"), "true");
    assert!(again.bytes.len() < 17 << 20, "{} bytes", again.bytes.len());
    let again = again.json();
    let ids = |list: &Value, id: fn(&Value) -> &Value| -> Vec<Value> {
        let list = list.as_array().expect("a list").iter();
        list.map(id).cloned().collect()
    };
    let (answered, left_out) = (
        ids(&again["tasks"], |task| &task["id"]),
        ids(&again["left_out"], |id| id),
    );
    assert_eq!((answered.len(), left_out.len()), (16, 4));
    assert_eq!(
        [answered, left_out].concat(),
        ids(&first["tasks"], |task| &task["id"]),
        "all of them, in order"
    );
    let gone = again["left_out"][3].as_str().expect("an id");
    assert_eq!(
        api.delete(&format!("/api/tasks/{gone}")).await.status,
        StatusCode::NO_CONTENT
    );
    api.post_with("/api/tasks/batch", &[(KEY, "b")], &body)
        .await
        .problem(410, "task_gone");
}

#[tokio::test]
async fn a_body_has_the_same_status_with_a_key_and_without() {
    let api = Api::start().await;
    let nested = format!("{}1{}", "[".repeat(300_000), "]".repeat(300_000));
    let labels: Vec<String> = (0..33).map(|index| format!("\"k{index:02}\": \"v\"")).collect();
    for (number, (input, status)) in [
        (r#"{"name": "echo", "input": {"\ud800": 1}}"#.to_owned(), 422),
        (r#"{"name": "echo", "input": "\ud800"}"#.to_owned(), 422),
        (r#"{"name": "echo", "input": {"a": 1, "a": 2}}"#.to_owned(), 201),
        (r#"{"name": "echo", "labels": {"a": "1", "a": "2"}}"#.to_owned(), 201),
        (r#"{"name": "echo", "name": "echo"}"#.to_owned(), 422),
        // What is passed over because there are too many labels may nest as deep as it likes.
        (
            format!(
                r#"{{"name": "echo", "labels": {{{}, "x": {nested}}}}}"#,
                labels.join(", ")
            ),
            422,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let key = number.to_string();
        let shown: String = input.chars().take(80).collect();
        for headers in [&[][..], &[(KEY, key.as_str())]] {
            let answer = api.post_with("/api/tasks", headers, &input).await;
            assert_eq!(answer.status, status, "{shown}: {headers:?} {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_name_that_comes_twice_makes_another_request() {
    let api = Api::start().await;
    let twice = r#"{"name": "echo", "input": {"a": 1, "a": 2}}"#;
    api.post_with("/api/tasks", &[(KEY, "one")], twice).await;
    let again = api.post_with("/api/tasks", &[(KEY, "one")], twice).await;
    assert_eq!(again.header("idempotent-replay"), "true");
    for other in [
        r#"{"name": "echo", "input": {"a": 2}}"#,
        r#"{"name": "echo", "input": {"a": 2, "a": 1}}"#,
    ] {
        api.post_with("/api/tasks", &[(KEY, "one")], other)
            .await
            .problem(422, "idempotency_key_reused");
    }
}

#[tokio::test]
async fn sixty_four_callers_with_one_key_make_one_task() {
    let api = shared().await;
    let calls = (0..64).map(|_| {
        let api = std::sync::Arc::clone(&api);
        tokio::spawn(async move {
            api.post_with("/api/tasks", &[(KEY, "race")], r#"{"name": "echo"}"#)
                .await
        })
    });
    let mut ids = std::collections::HashSet::new();
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.expect("no panic");
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        ids.insert(answer.json()["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!((ids.len(), api.count().await), (1, 1));
}

#[tokio::test]
async fn a_key_that_is_not_plain_is_refused() {
    let api = Api::start().await;
    for key in ["", "a b", "\u{e9}", &"x".repeat(256)] {
        api.post_with("/api/tasks", &[(KEY, key)], r#"{"name": "echo"}"#)
            .await
            .problem(400, "invalid_header");
    }
    let longest = "x".repeat(255);
    let created = api
        .post_with("/api/tasks", &[(KEY, &longest)], r#"{"name": "echo"}"#)
        .await;
    assert_eq!((created.status, api.count().await), (StatusCode::CREATED, 1));
}

#[tokio::test]
async fn a_chosen_id_is_kept_and_its_repetition_is_the_same_task() {
    let api = Api::start().await;
    let id = identity::chosen_task_id().to_string();
    let body = json!({"id": id, "name": "echo", "input": 1});
    let first = api.post("/api/tasks", &body).await;
    assert_eq!(
        (first.status, first.json()["id"].as_str()),
        (StatusCode::CREATED, Some(id.as_str()))
    );
    let again = api.post("/api/tasks", &body).await;
    assert_eq!((again.status, &again.json()), (StatusCode::OK, &first.json()));
    api.post("/api/tasks", &json!({"id": id, "name": "echo", "input": 2}))
        .await
        .problem(409, "task_exists");
    assert_eq!(api.count().await, 1);
}

#[tokio::test]
async fn a_chosen_id_must_be_a_uuid_of_version_7_of_about_now() {
    let api = Api::start().await;
    for id in [
        "6f1b7d1e-44a5-4c8f-9d5a-0d4f9b8f8a11",
        "01800000-0000-7000-8000-000000000000",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ] {
        let refused = api
            .post("/api/tasks", &json!({"id": id, "name": "echo"}))
            .await
            .problem(422, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], "/id", "{refused}");
    }
    let chosen = identity::chosen_task_id().to_string();
    let batch = json!({"tasks": [{"name": "echo"}, {"id": chosen, "name": "echo"}]});
    let refused = api.post("/api/tasks/batch", &batch).await.problem(422, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/tasks/1/id");
    assert_eq!(api.count().await, 0);
}
