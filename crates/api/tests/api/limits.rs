//! Conditions over HTTP: what is taken, what is refused and where, who waits for what, and what a unique task meets.

use axum::http::StatusCode;
use orchestratum_core::task::Ending;
use orchestratum_store::Evidence;
use serde_json::{Value, json};

use crate::common::Api;

fn keyed(input: &Value) -> Value {
    json!({"name": "echo", "input": input, "concurrency": {"key": "customer-${ input.customer }", "limit": 1}})
}

async fn why(api: &Api, id: &str) -> Value {
    api.get(&format!("/api/tasks/{id}/why")).await.json()
}

#[tokio::test]
async fn conditions_are_answered_with_the_values_of_their_keys() {
    let api = Api::start().await;
    let body = json!({
        "name": "echo", "input": {"customer": 17},
        "concurrency": {"key": "customer-${ input.customer }", "limit": 3},
        "rate": {"key": "${ task.name }", "limit": 10, "per_seconds": 0.5},
        "unique": {"by": ["name", "input"], "within_seconds": 60, "states": ["Completed", "Pending"]},
    });
    let task = api.get(&format!("/api/tasks/{}", api.create(body).await)).await.json();
    assert_eq!(task["concurrency"], json!({"key": "customer-17", "limit": 3}));
    assert_eq!(task["rate"], json!({"key": "echo", "limit": 10, "per_seconds": 0.5}));
    assert_eq!(
        task["unique"],
        json!({"by": ["name", "input"], "within_seconds": 60, "states": ["Pending", "Completed"]})
    );
    let plain = api
        .get(&format!("/api/tasks/{}", api.create(json!({"name": "echo"})).await))
        .await;
    for field in ["concurrency", "rate", "unique"] {
        assert_eq!(plain.json()[field], Value::Null, "{field}");
    }
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_its_place() {
    let api = Api::start().await;
    let both = |conditions: Value, prefix: &str| {
        let mut task = json!({"name": "echo", "input": {"customer": 17}});
        for (field, value) in conditions.as_object().expect("an object") {
            task[field] = value.clone();
        }
        match prefix {
            "" => ("/api/tasks", task),
            "/tasks/1" => ("/api/tasks/batch", json!({"tasks": [{"name": "echo"}, task]})),
            _ => ("/api/tasks", json!({"name": "echo", "on_failure": [task]})),
        }
    };
    for (conditions, pointer, message) in [
        (
            json!({"concurrency": {"key": "c-${ inptu.customer }", "limit": 1}}),
            "/concurrency/key",
            "at character 6: there is no variable inptu; there are input, task",
        ),
        (
            json!({"concurrency": {"key": "a", "limit": 0}}),
            "/concurrency/limit",
            "must be a whole number from 1 to 10000, not 0",
        ),
        (
            json!({"rate": {"key": "", "limit": 1, "per_seconds": 1}}),
            "/rate/key",
            "must have 1 to 200 characters, not 0",
        ),
        (
            json!({"rate": {"key": "a", "limit": 1, "per_seconds": 0}}),
            "/rate/per_seconds",
            "must lie between 0.001 and 2592000 seconds, not 0",
        ),
        (
            json!({"unique": {"by": ["nme"]}}),
            "/unique/by",
            "must name some of name, target, input, description, labels, priority, not nme",
        ),
        (
            json!({"unique": {"by": ["name"], "states": ["Done"]}}),
            "/unique/states/0",
            "must be one of Pending, InProgress, Completed, Failed, Expired, Cancelled",
        ),
    ] {
        for prefix in ["", "/tasks/1", "/on_failure/0"] {
            let (path, body) = both(conditions.clone(), prefix);
            let problem = api.post(path, &body).await.problem(422, "invalid_body");
            let errors = problem["errors"].as_array().expect("errors");
            assert_eq!(errors.len(), 1, "{problem}");
            assert_eq!(errors[0]["pointer"], format!("{prefix}{pointer}"), "{problem}");
            assert_eq!(errors[0]["message"], message, "{problem}");
        }
    }
    let problem = api
        .post(
            "/api/tasks",
            &json!({"name": "echo", "concurrency": {"key": "${ input.customer }", "limit": 1}}),
        )
        .await
        .problem(422, "invalid_body");
    assert_eq!(problem["errors"][0]["pointer"], "/concurrency/key", "{problem}");
}

#[tokio::test]
async fn a_task_whose_key_is_held_says_who_holds_it_and_runs_after_that() {
    let api = Api::start().await;
    let first = api.create(keyed(&json!({"customer": 17}))).await;
    let second = api.create(keyed(&json!({"customer": 17}))).await;
    let third = api.create(keyed(&json!({"customer": 17}))).await;
    assert_eq!(why(&api, &first).await["reason"], "no_worker");
    let reason = why(&api, &third).await;
    assert_eq!(
        (&reason["reason"], &reason["key"], &reason["limit"], &reason["held"]),
        (&json!("waiting_for_place"), &json!("customer-17"), &json!(1), &json!(1))
    );
    assert_eq!((&reason["held_by"], &reason["ahead"]), (&json!([first]), &json!(1)));
    assert_eq!(
        reason["message"],
        format!(
            "all 1 place(s) of the concurrency key \"customer-17\" are held, by {first}; 1 other task(s) wait before it"
        )
    );
    let running = api.claim().await;
    assert_eq!(running.id.to_string(), first);
    api.finish(running.id, 1, Ending::Success, Evidence::default()).await;
    assert_eq!(why(&api, &second).await["reason"], "waiting_for_worker");
    assert_eq!(why(&api, &third).await["reason"], "waiting_for_place");
    let cancelled = api.post(&format!("/api/tasks/{second}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED, "{cancelled:?}");
    assert_eq!(api.claim().await.id.to_string(), third);
}

#[tokio::test]
async fn a_task_whose_rate_is_used_up_says_when_the_next_starts() {
    let api = Api::start().await;
    let rated = || json!({"name": "echo", "rate": {"key": "api", "limit": 1, "per_seconds": 600}});
    api.create(rated()).await;
    let second = api.create(rated()).await;
    let reason = why(&api, &second).await;
    assert_eq!(
        (
            &reason["reason"],
            &reason["key"],
            &reason["limit"],
            &reason["per_seconds"],
            &reason["ahead"]
        ),
        (
            &json!("rate_limited"),
            &json!("api"),
            &json!(1),
            &json!(600.0),
            &json!(0)
        )
    );
    assert!(reason["next_at"].is_string(), "{reason}");
}

#[tokio::test]
async fn a_unique_task_is_answered_with_the_one_that_is_there() {
    let api = Api::start().await;
    let unique = |input: i64| json!({"name": "echo", "input": input, "unique": {"by": ["name", "input"]}});
    let first = api.post("/api/tasks", &unique(1)).await;
    assert_eq!(
        (first.status, first.header("unique-conflict")),
        (StatusCode::CREATED, "")
    );
    let again = api.post("/api/tasks", &unique(1)).await;
    assert_eq!(
        (again.status, again.header("unique-conflict")),
        (StatusCode::OK, "true")
    );
    assert_eq!(again.json(), first.json());
    assert_eq!(again.header("location"), first.header("location"));
    let batch = json!({"tasks": [unique(2), unique(1), unique(2), {"name": "echo"}]});
    let batch = api.post("/api/tasks/batch", &batch).await;
    assert_eq!(batch.status, StatusCode::CREATED, "{batch:?}");
    let answer = batch.json();
    let id = |place: usize| answer["tasks"][place]["id"].clone();
    assert_eq!(id(1), first.json()["id"]);
    assert_eq!(id(2), id(0));
    assert_ne!(id(3), id(0));
    let mut met = vec![id(0), id(1)];
    met.sort_by_key(ToString::to_string);
    assert_eq!(answer["met"], json!(met));
    assert_eq!(api.count().await, 3);
    let claimed = api.claim().await;
    api.finish(claimed.id, 1, Ending::Success, Evidence::default()).await;
    let after = api.post("/api/tasks", &unique(1)).await;
    assert_eq!(after.status, StatusCode::CREATED, "the first is over");
}

#[tokio::test]
async fn a_follow_up_that_meets_a_task_is_missing_on_the_tree() {
    let api = Api::start().await;
    let there = api
        .create(json!({"name": "other", "unique": {"by": "report-of-today"}}))
        .await;
    let parent = api
        .create(
            json!({"name": "echo", "on_success": [{"name": "echo", "unique": {"by": "report-of-${ 'to' + 'day' }"}}]}),
        )
        .await;
    let running = api.claim().await;
    api.finish(running.id, 1, Ending::Success, Evidence::default()).await;
    let tree = api.get(&format!("/api/tasks/{parent}/tree")).await.json();
    let missing = &tree["missing_follow_ups"][0];
    assert_eq!(
        (&missing["cause"], &missing["reason"]),
        (&json!("Met"), &json!(format!("task {there} is like it")))
    );
    assert_eq!(tree["follow_ups"], json!([]));
}

#[tokio::test]
async fn a_target_has_the_rate_that_an_operator_gives_it() {
    let api = Api::start().await;
    let path = "/api/queues/default/rate";
    api.get(path).await.problem(404, "rate_not_found");
    let problem = api
        .put(path, &json!({"limit": 0, "per_seconds": 60, "burst": 0}))
        .await
        .problem(422, "invalid_body");
    let pointers: Vec<&Value> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    assert_eq!(pointers, ["/limit", "/burst"]);
    let set = api.put(path, &json!({"limit": 1, "per_seconds": 600})).await;
    assert_eq!(set.status, StatusCode::NO_CONTENT, "{set:?}");
    assert_eq!(
        api.get(path).await.json(),
        json!({"target": "default", "limit": 1, "per_seconds": 600.0, "burst": 1})
    );
    let first = api.create(json!({"name": "echo"})).await;
    let second = api.create(json!({"name": "echo"})).await;
    assert_eq!(api.claim().await.id.to_string(), first);
    let reason = why(&api, &second).await;
    assert_eq!(
        (&reason["reason"], &reason["target"]),
        (&json!("target_rate_limited"), &json!("default"))
    );
    assert!(reason["next_at"].is_string(), "{reason}");
    assert_eq!(api.delete(path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(why(&api, &second).await["reason"], "waiting_for_worker");
    assert_eq!(api.claim().await.id.to_string(), second);
}
