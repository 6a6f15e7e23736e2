//! Groups over HTTP: what is taken, what is refused and where, and what comes after the last member.

use axum::http::StatusCode;
use orchestratum_core::JsonText;
use orchestratum_core::task::Ending;
use orchestratum_store::Evidence;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::Api;

fn success(output: &Value) -> Evidence {
    Evidence {
        output: Some(JsonText::of(output).expect("JSON")),
        ..Evidence::default()
    }
}

async fn create(api: &Api, body: &Value) -> Value {
    let created = api.post("/api/groups", body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let group = created.json();
    assert_eq!(created.header("location"), path(&group));
    group
}

fn path(group: &Value) -> String {
    format!("/api/groups/{}", group["id"].as_str().expect("an id"))
}

/// The group when it is over.
async fn over(api: &Api, group: &Value) -> Value {
    let group = api.get(&format!("{}?wait_seconds=20", path(group))).await.json();
    assert!(!group["finished_at"].is_null(), "{group}");
    group
}

#[tokio::test]
async fn a_group_is_answered_as_it_was_given_and_ends_with_a_task_that_sees_all_outputs() {
    let api = Api::start().await;
    let after =
        json!({"name": "echo", "input": {"all": "${ outputs }", "told": "${ group.name }: ${ group.completed }"}});
    let body = json!({
        "name": "totals", "policy": "continue", "on_complete": after,
        "tasks": [{"name": "echo", "input": 1, "labels": {"part": "1"}}, {"name": "echo", "input": 2, "priority": 9}],
    });
    let group = create(&api, &body).await;
    assert_eq!(
        (
            &group["name"],
            &group["policy"],
            &group["status"],
            &group["on_complete"]
        ),
        (&json!("totals"), &json!("continue"), &json!("Running"), &after)
    );
    assert_eq!(
        group["members"],
        json!({
            "Pending": 2, "InProgress": 0, "Completed": 0, "Failed": 0, "Expired": 0, "Cancelled": 0, "deleted": 0
        })
    );
    assert_eq!(api.get(&path(&group)).await.json(), group);
    // The one of higher priority comes first, and is the second member all the same.
    for (input, index) in [("2", 1), ("1", 0)] {
        let claimed = api.claim().await;
        assert_eq!(claimed.input.as_str(), input);
        let task = api.get(&format!("/api/tasks/{}", claimed.id)).await.json();
        assert_eq!((&task["group_id"], &task["group_index"]), (&group["id"], &json!(index)));
        api.finish(
            claimed.id,
            claimed.attempt,
            Ending::Success,
            success(&json!({"got": index})),
        )
        .await;
    }
    let ended = over(&api, &group).await;
    assert_eq!(
        (&ended["status"], &ended["remaining"], &ended["failed"]),
        (&json!("Completed"), &json!(0), &json!(0))
    );
    assert_eq!(ended["missing_follow_up"], Value::Null);
    let task = api
        .get(&format!(
            "/api/tasks/{}",
            ended["follow_up_id"].as_str().expect("an id")
        ))
        .await
        .json();
    assert_eq!(
        task["input"],
        json!({"all": [{"got": 0}, {"got": 1}], "told": "totals: 2"})
    );
    assert_eq!((&task["group_id"], &task["status"]), (&Value::Null, &json!("Pending")));
}

#[tokio::test]
async fn the_first_that_fails_stops_the_others_and_what_follows_is_another_task() {
    let api = Api::start().await;
    let group = create(
        &api,
        &json!({
            "template": {"name": "echo"}, "inputs": [1, 2, {"delayed": "never"}],
            "on_complete": {"name": "echo", "input": "all went well"},
            "on_failure": {"name": "echo", "input": "${ results.map(r, r.status) }"},
        }),
    )
    .await;
    let claimed = api.claim().await;
    let failed = Ending::Failed {
        message: "no".to_owned(),
        retryable: false,
        code: None,
    };
    api.finish(claimed.id, claimed.attempt, failed, Evidence::default())
        .await;
    let ended = over(&api, &group).await;
    assert_eq!((&ended["status"], &ended["failed"]), (&json!("Failed"), &json!(3)));
    assert_eq!(ended["members"]["Cancelled"], 2);
    let task = api
        .get(&format!(
            "/api/tasks/{}",
            ended["follow_up_id"].as_str().expect("an id")
        ))
        .await
        .json();
    assert_eq!(task["input"], json!(["Failed", "Cancelled", "Cancelled"]));
    let cancelled = api
        .get(&format!("{}/tasks?status=Cancelled", path(&group)))
        .await
        .json();
    assert_eq!(cancelled["items"][1]["input"], json!({"delayed": "never"}));
    assert_eq!(
        cancelled["items"][0]["error"]["message"],
        "another member of its group did not succeed"
    );
}

/// Each of these bodies is refused with this pointer and the beginning of this message, and nothing is stored.
async fn refuses<'a>(cases: impl IntoIterator<Item = (Value, &'a str, &'a str)>) {
    let api = Api::start().await;
    for (body, pointer, message) in cases {
        let refused = api.post("/api/groups", &body).await.problem(422, "invalid_body");
        let error = &refused["errors"][0];
        assert_eq!(error["pointer"], pointer, "{refused}");
        assert!(
            error["message"].as_str().is_some_and(|told| told.starts_with(message)),
            "{refused}"
        );
    }
    assert_eq!(api.count().await, 0);
    assert_eq!(api.get("/api/groups").await.json()["items"], json!([]));
}

#[tokio::test]
async fn members_that_can_never_run_are_refused_with_their_place() {
    let echo = json!({"name": "echo"});
    let members = |count: usize| vec![echo.clone(); count];
    let with = |index: usize, broken: Value| {
        let mut tasks = members(18);
        tasks[index] = broken;
        json!({ "tasks": tasks })
    };
    refuses([
        (json!({"tasks": []}), "/tasks", "must have 1 to 10000 members, not 0"),
        (
            json!({"tasks": members(10_001)}),
            "/tasks",
            "must have 1 to 10000 members, not 10001",
        ),
        (
            json!({"template": echo, "inputs": vec![1; 10_001]}),
            "/inputs",
            "must have 1 to 10000 members, not 10001",
        ),
        (
            with(17, json!({"name": "shell"})),
            "/tasks/17/input",
            "must be an object, not null",
        ),
        (
            with(
                3,
                json!({"name": "echo", "on_success": [{"name": "echo", "input": "${ outputs }"}]}),
            ),
            "/tasks/3/on_success/0/input",
            "at character 4: there is no variable outputs; there are output, error, input, task",
        ),
        (
            with(2, json!({"name": "echo", "id": Uuid::nil()})),
            "/tasks/2/id",
            "members have ids of our own",
        ),
        (
            with(1, json!({"name": "echo", "tll": 1})),
            "/tasks/1/tll",
            "unknown field `tll`",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_group_that_can_never_end_as_it_says_is_refused_with_the_place() {
    let echo = json!({"name": "echo"});
    refuses([
        (
            json!({"tasks": [echo], "policy": "stop"}),
            "/policy",
            "unknown variant `stop`",
        ),
        (
            json!({"tasks": [echo], "on_complete": {"name": "echo", "input": ["${ outputs[0] }", "${ output }"]}}),
            "/on_complete/input/1",
            "at character 4: there is no variable output; there are outputs, results, group",
        ),
        (
            json!({"tasks": [echo], "on_complete": {"name": "echo", "labels": {"a": "${ group.nme }"}}}),
            "/on_complete/labels/a",
            "at character 4: group has no field nme",
        ),
        (
            json!({"tasks": [echo], "on_complete": 5}),
            "/on_complete",
            "invalid type",
        ),
        (
            json!({"tasks": [echo], "policy": "continue", "on_failure": echo}),
            "/on_failure",
            "is for the policy fail",
        ),
        (
            json!({"tasks": [echo], "template": echo}),
            "/template",
            "goes without tasks",
        ),
        (
            json!({"template": echo}),
            "/inputs",
            "must have the input of each member",
        ),
        (
            json!({"template": {"name": "echo", "input": 1}, "inputs": [1]}),
            "/template/input",
            "each member has one of the inputs",
        ),
        (
            json!({"template": {"name": "python"}, "inputs": [{"code": ""}, {"code": 5}]}),
            "/inputs/1/code",
            "must be a text, not a number",
        ),
        (json!({"name": "x"}), "/tasks", "must have the members of the group"),
        (json!({"tasks": [echo], "id": Uuid::nil()}), "/id", "must be a UUIDv7"),
    ])
    .await;
}

#[tokio::test]
async fn a_group_of_ten_thousand_is_a_small_request() {
    let api = Api::start().await;
    let group = create(
        &api,
        &json!({"template": {"name": "echo"}, "inputs": (0..10_000).collect::<Vec<_>>()}),
    )
    .await;
    assert_eq!(
        (&group["size"], &group["members"]["Pending"]),
        (&json!(10_000), &json!(10_000))
    );
    let page = api
        .get(&format!("{}/tasks?limit=200&cursor=9899", path(&group)))
        .await
        .json();
    let inputs: Vec<&Value> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|task| &task["input"])
        .collect();
    assert_eq!(json!(inputs), json!((9_900..10_000).collect::<Vec<_>>()));
    assert_eq!(page["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_repeated_request_makes_no_second_group() {
    let api = Api::start().await;
    let body = json!({"tasks": [{"name": "echo"}], "name": "once"}).to_string();
    let keyed = async |body: &str| api.post_with("/api/groups", &[("idempotency-key", "k")], body).await;
    let first = keyed(&body).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = keyed(&body).await;
    assert_eq!(
        (again.status, again.header("idempotent-replay")),
        (StatusCode::CREATED, "true")
    );
    assert_eq!(again.json(), first.json());
    let other = json!({"tasks": [{"name": "echo"}], "name": "twice"}).to_string();
    keyed(&other).await.problem(422, "idempotency_key_reused");
    // The same key for another call is another body.
    let single = api
        .post_with("/api/tasks", &[("idempotency-key", "k")], r#"{"name": "echo"}"#)
        .await;
    single.problem(422, "idempotency_key_reused");

    let id = api.engine.clock().new_group_id();
    let chosen = json!({"id": id, "tasks": [{"name": "echo"}]});
    assert_eq!(create(&api, &chosen).await["id"], id.to_string());
    let again = api.post("/api/groups", &chosen).await;
    assert_eq!((again.status, &again.json()["id"]), (StatusCode::OK, &json!(id)));
    let other = json!({"id": id, "tasks": [{"name": "echo", "input": 2}]});
    api.post("/api/groups", &other).await.problem(409, "group_exists");
    assert_eq!(api.count().await, 2);

    let first = path(&first.json());
    api.post_empty(&format!("{first}/cancel")).await;
    over(&api, &json!({"id": first.rsplit('/').next()})).await;
    assert_eq!(api.delete(&first).await.status, StatusCode::NO_CONTENT);
    keyed(&body).await.problem(410, "group_gone");
}

#[tokio::test]
async fn a_cancelled_group_ends_and_nothing_comes_after_it() {
    let api = Api::start().await;
    let body = json!({"tasks": [{"name": "echo"}, {"name": "echo"}], "on_complete": {"name": "echo"}});
    let group = create(&api, &body).await;
    let running = api.claim().await;
    let cancel = format!("{}/cancel", path(&group));
    api.delete(&path(&group)).await.problem(409, "illegal_group_status");
    let long = json!({"reason": "x".repeat(2_001)});
    api.post(&cancel, &long).await.problem(422, "invalid_body");
    let cancelled = api.post(&cancel, &json!({"reason": "no longer needed"})).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED);
    assert_eq!(cancelled.json()["status"], "Cancelling");
    let soon = api.get(&format!("{}?wait_seconds=0.3", path(&group))).await.json();
    assert_eq!(soon["status"], "Cancelling", "its worker is still to kill one");
    let killed = Ending::Cancelled {
        message: "killed".to_owned(),
    };
    api.finish(running.id, running.attempt, killed, Evidence::default())
        .await;
    let ended = over(&api, &group).await;
    assert_eq!(
        (&ended["status"], &ended["follow_up_id"], &ended["reason"]),
        (&json!("Cancelled"), &Value::Null, &json!("no longer needed"))
    );
    let again = api.post_empty(&cancel).await;
    assert_eq!(
        (again.status, &again.json()["reason"]),
        (StatusCode::OK, &json!("no longer needed"))
    );
    assert_eq!(api.delete(&path(&group)).await.status, StatusCode::NO_CONTENT);
    api.get(&path(&group)).await.problem(404, "group_not_found");
    api.get(&format!("{}/tasks", path(&group)))
        .await
        .problem(404, "group_not_found");
    assert_eq!(api.count().await, 2, "the members stay");
}

#[tokio::test]
async fn a_group_that_is_over_cannot_be_cancelled() {
    let api = Api::start().await;
    let group = create(&api, &json!({"tasks": [{"name": "echo"}]})).await;
    let claimed = api.claim().await;
    api.finish(claimed.id, claimed.attempt, Ending::Success, Evidence::default())
        .await;
    assert_eq!(
        over(&api, &group).await["follow_up_id"],
        Value::Null,
        "nothing was asked for"
    );
    let refused = api
        .post_empty(&format!("{}/cancel", path(&group)))
        .await
        .problem(409, "illegal_group_status");
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|told| told.contains("is Completed")),
        "{refused}"
    );
}

#[tokio::test]
async fn groups_are_listed_newest_first_page_by_page() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(
            0,
            create(&api, &json!({"tasks": [{"name": "echo"}]})).await["id"].clone(),
        );
    }
    let mut listed = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = api.get(&format!("/api/groups{query}")).await.json();
        listed.extend(
            page["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|group| group["id"].clone()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(listed, ids);
    assert_eq!(api.get("/api/groups?status=Failed").await.json()["items"], json!([]));
    api.get("/api/groups?status=Over").await.problem(422, "invalid_query");
    api.get("/api/groups?limit=201").await.problem(422, "invalid_query");
    api.get("/api/groups/x").await.problem(422, "invalid_path");
}
