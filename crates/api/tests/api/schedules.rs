//! Schedules over HTTP: what is taken, what is refused and where, and what a caller may do with one.

use axum::http::StatusCode;
use orchestratum_engine::keys::Scope;
use serde_json::{Value, json};

use crate::common::{Answer, Api};

fn nightly() -> Value {
    json!({
        "name": "nightly", "cron": "30 3 * * MON-FRI", "time_zone": "Europe/Berlin",
        "task": {"name": "echo", "input": {"slot": "${ schedule.slot }"}, "labels": {"team": "billing"}}
    })
}

async fn created(api: &Api, body: &Value) -> Value {
    let created = api.post("/api/schedules", body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    created.json()
}

fn path(schedule: &Value) -> String {
    format!("/api/schedules/{}", schedule["id"].as_str().expect("an id"))
}

/// The pointer of the only broken rule, and what it says.
#[track_caller]
fn broken(answer: &Answer) -> (String, String) {
    let problem = answer.problem(422, "invalid_body");
    let errors = problem["errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 1, "{problem}");
    let text = |field: &str| errors[0][field].as_str().expect("a text").to_owned();
    (text("pointer"), text("message"))
}

#[tokio::test]
async fn a_schedule_is_answered_with_its_defaults_and_how_it_stands() {
    let api = Api::start().await;
    let answer = api.post("/api/schedules", &nightly()).await;
    let schedule = answer.json();
    assert_eq!(answer.header("location"), path(&schedule));
    assert_eq!(answer.header("etag"), "\"1\"");
    for (field, value) in [
        ("cron", json!("30 3 * * MON-FRI")),
        ("time_zone", json!("Europe/Berlin")),
        ("task", nightly()["task"].clone()),
        ("overlap", json!("skip")),
        ("misfire", json!("fire_once")),
        ("start_at", Value::Null),
        ("end_at", Value::Null),
        ("jitter_seconds", json!(0)),
        ("paused", json!(false)),
        ("waiting", json!([])),
        ("last_slot", Value::Null),
        ("last_task_id", Value::Null),
        ("last_task_status", Value::Null),
        ("last_skip", Value::Null),
        ("version", json!(1)),
    ] {
        assert_eq!(schedule[field], value, "{field}");
    }
    let next = schedule["next_at"].as_str().expect("a time");
    assert!(next.ends_with(":30:00Z"), "{next}");
    let read = api.get(&path(&schedule)).await;
    assert_eq!((read.header("etag"), read.json()), ("\"1\"", schedule.clone()));

    let paused = json!({
        "name": "later", "cron": "0 0 1 1 *", "task": {"name": "echo"}, "overlap": "queue", "misfire": "catch_up",
        "start_at": "2090-01-01T00:00:00Z", "end_at": "2091-06-01T00:00:00Z", "jitter_seconds": 1.5, "paused": true
    });
    let paused = created(&api, &paused).await;
    assert_eq!(
        (&paused["time_zone"], &paused["next_at"]),
        (&json!("UTC"), &Value::Null)
    );
    let resumed = api.patch(&path(&paused), &[], &json!({"paused": false})).await.json();
    assert_eq!(resumed["next_at"], "2090-01-01T00:00:00Z", "the start itself is a slot");
    assert_eq!(resumed["jitter_seconds"], 1.5);
}

/// Each change of a good schedule breaks one rule, and is told with its place.
async fn refuses(api: &Api, broken_by: &[(Value, &str, &str)]) {
    for (change, pointer, message) in broken_by {
        let mut body = nightly();
        for (field, value) in change.as_object().expect("an object") {
            body[field] = value.clone();
        }
        let (place, told) = broken(&api.post("/api/schedules", &body).await);
        assert_eq!(place, *pointer, "{change}: {told}");
        assert!(told.contains(message), "{change}: {told}");
    }
    assert_eq!(
        api.get("/api/schedules").await.json()["items"],
        json!([]),
        "nothing was stored"
    );
}

#[tokio::test]
async fn what_can_never_work_is_refused_with_its_place() {
    let api = Api::start().await;
    let never = "never comes: no time in Europe/Berlin meets all of its fields";
    let range = "must lie between 0 and 86400 seconds, not -1";
    let twice = json!({"start_at": "2090-01-01T00:00:00Z", "end_at": "2090-01-01T00:00:00Z"});
    refuses(
        &api,
        &[
            (json!({"cron": "0 0 31 2 *"}), "/cron", never),
            (json!({"cron": "* * *"}), "/cron", "must have 5 fields"),
            (json!({"cron": "* * * * * * *"}), "/cron", "must have 5 fields"),
            (json!({"cron": "99 * * * *"}), "/cron", "is no cron expression"),
            (
                json!({"cron": "* ".repeat(200)}),
                "/cron",
                "must not be longer than 255 characters",
            ),
            (
                json!({"time_zone": "Mars/Olympus"}),
                "/time_zone",
                "\"Mars/Olympus\" is no time zone",
            ),
            (json!({"name": ""}), "/name", "must have 1 to 200 characters"),
            (json!({"overlap": "maybe"}), "/overlap", "unknown variant `maybe`"),
            (json!({"misfire": "never"}), "/misfire", "unknown variant `never`"),
            (json!({"jitter_seconds": -1}), "/jitter_seconds", range),
            (twice, "/end_at", "must be later than start_at"),
            (json!({"end_at": "2020-01-01T00:00:00Z"}), "/end_at", "must lie ahead"),
            (
                json!({"start_at": "2090-01-01T00:00:00Z", "end_at": "2090-01-01T00:01:00Z"}),
                "/end_at",
                "must be later than the first slot, which is 2090-01-0",
            ),
            (json!({"crno": "x"}), "/crno", "unknown field `crno`"),
        ],
    )
    .await;
    let all = json!({"name": "x", "cron": "x", "time_zone": "y", "task": {"name": "a b"}, "jitter_seconds": 1e9});
    let problem = api.post("/api/schedules", &all).await.problem(422, "invalid_body");
    let count = problem["errors"].as_array().map(Vec::len);
    assert_eq!(count, Some(4), "all that is seen at once: {problem}");
}

#[tokio::test]
async fn a_task_that_can_never_be_made_is_refused_with_its_place() {
    let api = Api::start().await;
    let task = |task: Value| json!({"task": task});
    let unknown = "at character 4: there is no variable output; there is schedule";
    refuses(
        &api,
        &[
            (task(json!({"name": "a b"})), "/task/name", "must match"),
            (
                task(json!({"name": "shell", "input": {"script": 5}})),
                "/task/input/script",
                "must be a text",
            ),
            (
                task(json!({"name": "echo", "input": {"total": "${ output.total }"}})),
                "/task/input/total",
                unknown,
            ),
            (
                task(json!({"name": "echo", "scheduled_at": "2090-01-01T00:00:00Z"})),
                "/task/scheduled_at",
                "must not be there",
            ),
            (
                task(json!({"name": "echo", "on_success": [{"name": "echo", "tll_seconds": 1}]})),
                "/task/on_success/0/tll_seconds",
                "unknown field",
            ),
            (task(json!(5)), "/task", "invalid type: integer `5`, expected an object"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_honours_the_etag() {
    let api = Api::start().await;
    let schedule = created(&api, &nightly()).await;
    let path = path(&schedule);
    let patched = api
        .patch(
            &path,
            &[("if-match", "\"1\"")],
            &json!({"overlap": "allow", "end_at": "2090-01-01T00:00:00Z"}),
        )
        .await;
    assert_eq!((patched.status, patched.header("etag")), (StatusCode::OK, "\"2\""));
    let patched = patched.json();
    assert_eq!(
        (&patched["overlap"], &patched["cron"]),
        (&json!("allow"), &schedule["cron"])
    );
    let late = api
        .patch(&path, &[("if-match", "\"1\"")], &json!({"paused": true}))
        .await;
    late.problem(412, "version_mismatch");
    let same = api.patch(&path, &[], &json!({"overlap": "allow"})).await;
    assert_eq!(same.header("etag"), "\"2\"", "what is so already is not written");
    let removed = api.patch(&path, &[], &json!({"end_at": null})).await.json();
    assert_eq!((&removed["end_at"], &removed["version"]), (&Value::Null, &json!(3)));
    let (pointer, _) = broken(&api.patch(&path, &[], &json!({"task": {"nme": "echo"}})).await);
    assert_eq!(pointer, "/task/nme");
    let (pointer, _) = broken(&api.patch(&path, &[], &json!({"overlap": null})).await);
    assert_eq!(pointer, "/overlap");
    let (pointer, _) = broken(&api.patch(&path, &[], &json!({"end_at": "2020-01-01T00:00:00Z"})).await);
    assert_eq!(pointer, "/end_at");
    assert_eq!(api.get(&path).await.json(), removed);
}

#[tokio::test]
async fn a_trigger_makes_a_task_that_knows_its_schedule() {
    let api = Api::start().await;
    let schedule = created(&api, &nightly()).await;
    let trigger = format!("{}/trigger", path(&schedule));
    let first = api.post_empty(&trigger).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let task = first.json();
    assert_eq!(
        first.header("location"),
        format!("/api/tasks/{}", task["id"].as_str().expect("an id"))
    );
    assert_eq!((&task["schedule_id"], &task["slot"]), (&schedule["id"], &Value::Null));
    assert_eq!(task["input"]["slot"], task["created_at"]);
    assert_eq!(task["labels"], json!({"team": "billing"}));
    assert_eq!(api.get(first.header("location")).await.json(), task);

    let headers = [("idempotency-key", "once")];
    let keyed = api.post_with(&trigger, &headers, "").await;
    let again = api.post_with(&trigger, &headers, "").await;
    assert_eq!(again.header("idempotent-replay"), "true");
    assert_eq!(again.json()["id"], keyed.json()["id"]);

    // Whatever the policies say, and also while it is paused.
    api.patch(&path(&schedule), &[], &json!({"paused": true})).await;
    assert_eq!(api.post_empty(&trigger).await.status, StatusCode::CREATED);
    let read = api.get(&path(&schedule)).await.json();
    assert_eq!(read["last_task_status"], "Pending");
    let listed = api
        .get(&format!(
            "/api/tasks?schedule_id={}",
            schedule["id"].as_str().expect("an id")
        ))
        .await
        .json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(3));
    assert_eq!(listed["items"][0]["id"], read["last_task_id"]);

    let broken = json!({"name": "x", "cron": "@daily", "task": {"name": "echo", "target": "${ schedule.slot }"}});
    let broken = created(&api, &broken).await;
    let refused = api.post_empty(&format!("{}/trigger", path(&broken))).await;
    let problem = refused.problem(409, "schedule_unmade");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("/target must match")),
        "{problem}"
    );
}

#[tokio::test]
async fn a_schedule_is_deleted_and_its_tasks_stay() {
    let api = Api::start().await;
    let schedule = created(&api, &nightly()).await;
    let task = api.post_empty(&format!("{}/trigger", path(&schedule))).await.json();
    assert_eq!(api.delete(&path(&schedule)).await.status, StatusCode::NO_CONTENT);
    for answer in [
        api.get(&path(&schedule)).await,
        api.delete(&path(&schedule)).await,
        api.patch(&path(&schedule), &[], &json!({"paused": true})).await,
        api.post_empty(&format!("{}/trigger", path(&schedule))).await,
    ] {
        answer.problem(404, "schedule_not_found");
    }
    let kept = api
        .get(&format!("/api/tasks/{}", task["id"].as_str().expect("an id")))
        .await;
    assert_eq!(kept.json()["schedule_id"], schedule["id"]);
    api.get("/api/schedules/x").await.problem(422, "invalid_path");
}

#[tokio::test]
async fn a_repeated_create_makes_one_schedule() {
    let api = Api::start().await;
    let headers = [("idempotency-key", "nightly")];
    let body = nightly().to_string();
    let first = api.post_with("/api/schedules", &headers, &body).await;
    let again = api.post_with("/api/schedules", &headers, &body).await;
    assert_eq!(
        (again.status, again.header("idempotent-replay")),
        (StatusCode::CREATED, "true")
    );
    assert_eq!(again.json(), first.json());
    let mut other = nightly();
    other["cron"] = json!("@hourly");
    let reused = api.post_with("/api/schedules", &headers, &other.to_string()).await;
    reused.problem(422, "idempotency_key_reused");
    // The keys of tasks are the same keys.
    let task = api
        .post_with("/api/tasks", &headers, &json!({"name": "echo"}).to_string())
        .await;
    task.problem(422, "idempotency_key_reused");
    api.delete(&path(&first.json())).await;
    let gone = api.post_with("/api/schedules", &headers, &body).await;
    gone.problem(410, "schedule_gone");
}

#[tokio::test]
async fn schedules_are_listed_by_pages_and_by_name() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut body = nightly();
        body["name"] = json!(format!("number {}", number % 2));
        ids.insert(0, created(&api, &body).await["id"].clone());
    }
    let first = api.get("/api/schedules?limit=3").await.json();
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let second = api.get(&format!("/api/schedules?limit=3&cursor={cursor}")).await.json();
    assert_eq!(second["next_cursor"], Value::Null);
    let pages = [&first, &second].map(|page| page["items"].as_array().expect("items"));
    let listed: Vec<Value> = pages
        .into_iter()
        .flatten()
        .map(|schedule| schedule["id"].clone())
        .collect();
    assert_eq!(listed, ids);
    let named = api.get("/api/schedules?name=number%201").await.json();
    assert_eq!(named["items"].as_array().map(Vec::len), Some(2));
    api.get("/api/schedules?limit=201").await.problem(422, "invalid_query");
    api.get("/api/schedules?names=x").await.problem(422, "invalid_query");
}

#[tokio::test]
async fn reading_takes_one_scope_and_writing_another() {
    let api = Api::start().await;
    let schedule = created(&api, &nightly()).await;
    let reader = api.key(&[Scope::TasksRead]).await;
    let as_reader = |method: &str, path: String| {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("x-api-key", &reader)
            .header("content-type", "application/json");
        api.send(request.body(axum::body::Body::from("{}")).expect("a request"))
    };
    assert_eq!(as_reader("GET", path(&schedule)).await.status, StatusCode::OK);
    for (method, place) in [("PATCH", ""), ("DELETE", ""), ("POST", "/trigger")] {
        let refused = as_reader(method, format!("{}{place}", path(&schedule))).await;
        refused.problem(403, "missing_scope");
    }
}
