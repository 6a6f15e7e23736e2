//! External workers over HTTP: claims, heartbeats and reports.

use std::time::Duration;

use crate::common::{Answer, Api, request, shared};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use futures::future::join_all;
use orchestratum_engine::keys::Scope;
use orchestratum_store::RecordsBefore;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

/// Longer than anything here takes.
const BOUND: Duration = Duration::from_secs(20);

fn offer() -> Value {
    json!({"worker": "outside", "names": ["mail"]})
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

async fn claim(api: &Api, body: &Value) -> Vec<Value> {
    let claimed = api.post("/api/worker/claim", body).await;
    assert_eq!(claimed.status, StatusCode::OK, "{claimed:?}");
    claimed.json()["tasks"].as_array().expect("tasks").clone()
}

/// Creates a task and claims it.
async fn claimed(api: &Api, task: Value) -> Value {
    api.create(task).await;
    let mut tasks = claim(api, &offer()).await;
    assert_eq!(tasks.len(), 1, "one task to claim");
    tasks.remove(0)
}

fn path(task: &Value, call: &str) -> String {
    let id = task["id"].as_str().expect("an id");
    format!("/api/worker/tasks/{id}/attempts/{}/{call}", task["attempt"])
}

async fn tell(api: &Api, task: &Value, call: &str, body: &Value) -> Answer {
    api.post(&path(task, call), body).await
}

/// With another key, and no more than it must say.
async fn tell_as(api: &Api, key: &str, task: &Value, call: &str) -> Answer {
    let request = request(Method::POST, &path(task, call)).header("content-type", "application/json");
    let mut request = request.body(Body::from("{}")).expect("a request");
    let key = key.parse().expect("a header");
    request.headers_mut().insert("x-api-key", key);
    api.send(request).await
}

async fn read(api: &Api, task: &Value) -> Value {
    let id = task["id"].as_str().expect("an id");
    api.get(&format!("/api/tasks/{id}")).await.json()
}

#[tokio::test]
async fn a_task_is_claimed_kept_and_completed() {
    let api = Api::start().await;
    let task = json!({"name": "mail", "input": {"to": "a"}, "timeout_seconds": 60, "ttl_seconds": 600});
    let held = claimed(&api, task).await;
    assert_eq!((&held["name"], &held["target"]), (&json!("mail"), &json!("default")));
    assert_eq!((&held["attempt"], &held["run"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&held["input"], &held["checkpoint"]),
        (&json!({"to": "a"}), &Value::Null)
    );
    let id = held["id"].as_str().expect("an id").to_owned();
    assert_eq!(held["idempotency_key"], format!("{id}-1"));
    let running = read(&api, &held).await;
    assert_eq!(running["status"], "InProgress");
    assert!(
        held["deadline_at"].as_str() < running["expires_at"].as_str(),
        "its timeout comes first: {held}"
    );
    let workers = api.get("/api/workers").await.json();
    let worker = &workers["items"][0];
    assert_eq!((&worker["name"], &worker["running"]), (&json!("outside"), &json!(1)));
    assert_eq!(worker["api_key_id"], "bootstrap");
    assert_eq!(worker["id"], running["worker_id"]);

    let beat = json!({"progress": 0.4, "checkpoint": {"page": 17}});
    let kept = tell(&api, &held, "heartbeat", &beat).await;
    assert_eq!(kept.json()["cancel_requested"], false, "{kept:?}");
    assert_eq!(kept.json()["deadline_at"], held["deadline_at"]);
    assert_eq!(api.post_empty(&path(&held, "heartbeat")).await.status, StatusCode::OK);
    assert_eq!(read(&api, &held).await["progress"], 0.4);

    let success = json!({"output": {"sent": 1}, "follow_ups": [{"name": "echo", "input": "${ output.sent + 1 }"}]});
    let ended = tell(&api, &held, "complete", &success).await;
    assert_eq!(ended.json(), json!({"task_id": id, "attempt": 1, "outcome": "Success"}));
    let done = read(&api, &held).await;
    assert_eq!(
        (&done["status"], &done["output"]),
        (&json!("Completed"), &json!({"sent": 1}))
    );
    let tree = api.get(&format!("/api/tasks/{id}/tree")).await.json();
    assert_eq!(tree["follow_ups"][0]["input"], 2, "{tree}");
    // The very same report again changes nothing and is answered alike; another one is refused, as is a heartbeat.
    let again = tell(&api, &held, "complete", &success).await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, ended.json()));
    let failure = json!({"error": {"message": "no"}});
    tell(&api, &held, "fail", &failure).await.problem(409, "attempt_over");
    tell(&api, &held, "heartbeat", &json!({}))
        .await
        .problem(409, "attempt_over");
    assert_eq!(read(&api, &held).await, done);
}

#[tokio::test]
async fn a_failure_is_told_with_its_kind_and_whether_it_is_for_good() {
    let api = Api::start().await;
    let task = || json!({"name": "mail", "max_retries": 1, "backoff": {"kind": "none"}});
    let error = |kind: &str| json!({"error": {"kind": kind, "message": "broken"}});
    let for_good = json!({"error": {"message": "broken"}, "retryable": false});
    for (body, outcome, status) in [
        (json!({"error": {"message": "broken"}}), "Failed", "Pending"),
        (for_good, "Failed", "Failed"),
        (error("TimedOut"), "TimedOut", "Pending"),
        (error("OutOfMemory"), "OutOfMemory", "Pending"),
        (error("NotFound"), "NotFound", "Pending"),
        (error("Cancelled"), "Cancelled", "Cancelled"),
    ] {
        let held = claimed(&api, task()).await;
        let ended = tell(&api, &held, "fail", &body).await;
        assert_eq!(ended.json()["outcome"], outcome, "{ended:?}");
        let task = read(&api, &held).await;
        assert_eq!(task["status"], status, "{body}: {task}");
        if status == "Pending" {
            let cancel = format!("/api/tasks/{}/cancel", held["id"].as_str().expect("an id"));
            api.post_empty(&cancel).await;
        }
    }
    let held = claimed(&api, task()).await;
    let coded = json!({"error": {"message": "broken", "code": "no_such_order"}, "retryable": false});
    tell(&api, &held, "fail", &coded).await;
    assert_eq!(
        read(&api, &held).await["error"],
        json!({"kind": "Failed", "message": "broken", "code": "no_such_order"})
    );
    let held = claimed(&api, json!({"name": "mail", "max_losses": 0})).await;
    tell(&api, &held, "release", &json!({"reason": "I stop"})).await;
    let again = claim(&api, &offer()).await;
    assert_eq!((&again[0]["id"], &again[0]["attempt"]), (&held["id"], &json!(2)));
    tell(&api, &held, "complete", &json!({}))
        .await
        .problem(409, "attempt_over");
    assert_eq!(
        tell(&api, &held, "release", &json!({})).await.status,
        StatusCode::OK,
        "told before"
    );
}

#[tokio::test]
async fn a_cancel_is_told_with_the_next_heartbeat() {
    let api = Api::start().await;
    let held = claimed(&api, json!({"name": "mail"})).await;
    let cancel = format!("/api/tasks/{}/cancel", held["id"].as_str().expect("an id"));
    assert_eq!(
        api.post(&cancel, &json!({"reason": "no longer"})).await.status,
        StatusCode::ACCEPTED
    );
    let kept = tell(&api, &held, "heartbeat", &json!({})).await;
    assert_eq!(kept.json()["cancel_requested"], true);
    let stopped = json!({"error": {"kind": "Cancelled", "message": "stopped"}});
    tell(&api, &held, "fail", &stopped).await;
    let task = read(&api, &held).await;
    assert_eq!(
        (&task["status"], &task["error"]["message"]),
        (&json!("Cancelled"), &json!("no longer"))
    );
}

#[tokio::test]
async fn only_the_key_that_claimed_may_report() {
    let api = Api::start().await;
    let held = claimed(&api, json!({"name": "mail"})).await;
    let other = api.key(&[Scope::Worker]).await;
    for call in ["heartbeat", "complete", "release"] {
        tell_as(&api, &other, &held, call)
            .await
            .problem(403, "claimed_by_another");
    }
    let with_attempt = |attempt: u32| with(held.clone(), "attempt", json!(attempt));
    tell(&api, &with_attempt(2), "complete", &json!({}))
        .await
        .problem(404, "attempt_not_found");
    tell(&api, &with_attempt(0), "complete", &json!({}))
        .await
        .problem(404, "attempt_not_found");
    let unknown = with(held.clone(), "id", json!("01936e5a-7c00-7000-8000-000000000000"));
    tell(&api, &unknown, "complete", &json!({}))
        .await
        .problem(404, "task_not_found");
    let no_number = with(held.clone(), "attempt", json!("x"));
    tell(&api, &no_number, "complete", &json!({}))
        .await
        .problem(422, "invalid_path");
    // What a worker process runs is nobody's who reports here.
    api.create(json!({"name": "echo"})).await;
    let inside = api.claim().await;
    let inside = json!({"id": inside.id.to_string(), "attempt": inside.attempt});
    tell(&api, &inside, "complete", &json!({}))
        .await
        .problem(403, "claimed_by_another");
    assert_eq!(tell(&api, &held, "complete", &json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_claim_that_is_repeated_has_the_same_tasks() {
    let api = Api::start().await;
    for number in 0..3 {
        api.create(json!({"name": "mail", "input": number})).await;
    }
    let body = with(with(offer(), "request_id", json!("claim-1")), "max", json!(2));
    let first = claim(&api, &body).await;
    assert_eq!(first.len(), 2);
    assert_eq!(claim(&api, &body).await, first);
    assert_eq!(claim(&api, &with(body, "request_id", json!("claim-2"))).await.len(), 1);
}

#[tokio::test]
async fn a_claim_waits_for_a_task_and_not_longer_than_it_says() {
    let api = shared().await;
    let waiting = with(offer(), "wait_seconds", json!(20));
    let claims: Vec<_> = (0..3)
        .map(|_| {
            let (api, body) = (api.clone(), waiting.clone());
            tokio::spawn(async move { claim(&api, &body).await })
        })
        .collect();
    for _ in 0..3 {
        api.create(json!({"name": "mail"})).await;
    }
    let mut ids = Vec::new();
    for claim in claims {
        let tasks = timeout(BOUND, claim).await.expect("in time").expect("no panic");
        assert_eq!(tasks.len(), 1, "each of them has one");
        ids.push(tasks[0]["id"].to_string());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "and no two the same");

    // One that becomes due while somebody waits.
    api.create(json!({"name": "mail", "delay_seconds": 0.3})).await;
    let release = api.engine.clone();
    let (tasks, ()) = tokio::join!(claim(&api, &waiting), async move {
        // No loops run here, so the test does their part.
        loop {
            let now = release.clock().now();
            if !release.store().release_due(now, 10).await.expect("works").is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(tasks.len(), 1, "found by asking");

    let begun = Instant::now();
    let briefly = with(offer(), "wait_seconds", json!(0.2));
    assert!(claim(&api, &briefly).await.is_empty());
    assert!((Duration::from_millis(200)..BOUND).contains(&begun.elapsed()));
}

#[tokio::test]
async fn what_a_forgotten_worker_ran_stays_as_it_ended() {
    let api = Api::start().await;
    let held = claimed(&api, json!({"name": "mail"})).await;
    tell(&api, &held, "complete", &json!({})).await;
    let ended = read(&api, &held).await;
    let other = api.key(&[Scope::Worker]).await;
    tell_as(&api, &other, &held, "complete")
        .await
        .problem(403, "claimed_by_another");
    let later = api.engine.clock().now() + Duration::from_secs(7_200);
    let store = api.engine.store();
    assert_eq!(store.mark_dead(later).await.expect("works").len(), 1);
    assert_eq!(
        store
            .purge_records(&RecordsBefore::all(later), 10)
            .await
            .expect("works"),
        1
    );
    // It cannot be told any more whose it was, and nothing of it changes.
    assert_eq!(tell_as(&api, &other, &held, "complete").await.status, StatusCode::OK);
    for call in ["heartbeat", "release"] {
        tell_as(&api, &other, &held, call).await.problem(409, "attempt_over");
    }
    assert_eq!(read(&api, &held).await, ended);
}

#[tokio::test]
async fn more_claims_than_a_key_may_have_waiting_are_told_to_come_again() {
    let api = shared().await;
    let body = with(offer(), "wait_seconds", json!(50));
    let claims = (0..201).map(|_| {
        let (api, body) = (api.clone(), body.clone());
        async move {
            let answer = api.post("/api/worker/claim", &body).await;
            if answer.status != StatusCode::OK {
                // The others need not wait for long.
                api.engine.stop_waiting();
            }
            answer
        }
    });
    let answers = timeout(BOUND, join_all(claims)).await.expect("in time");
    let refused: Vec<Answer> = answers
        .into_iter()
        .filter(|answer| answer.status != StatusCode::OK)
        .collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].header("retry-after"), "1");
    refused[0].problem(503, "overloaded");
}

#[tokio::test]
async fn nobody_waits_in_a_process_that_stops() {
    let api = shared().await;
    let waiting = with(offer(), "wait_seconds", json!(50));
    let (tasks, ()) = tokio::join!(timeout(BOUND, claim(&api, &waiting)), async {
        api.engine.stop_waiting();
    });
    assert!(tasks.expect("in time").is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_claim_is_told_with_its_place() {
    let api = Api::start().await;
    for (field, value, pointer) in [
        ("worker", json!(""), "/worker"),
        ("names", json!([]), "/names"),
        ("names", json!(["mail", "a b"]), "/names/1"),
        ("names", json!(["mail", "http"]), "/names/1"),
        ("names", json!(["gitlab.commit"]), "/names/0"),
        ("names", json!(vec!["mail"; 101]), "/names"),
        ("targets", json!([]), "/targets"),
        ("targets", json!(vec!["a"; 17]), "/targets"),
        ("max", json!(0), "/max"),
        ("max", json!(1_001), "/max"),
        ("wait_seconds", json!(61), "/wait_seconds"),
        ("wait_seconds", json!(-1), "/wait_seconds"),
        ("lease_seconds", json!(4.9), "/lease_seconds"),
        ("lease_seconds", json!(3_601), "/lease_seconds"),
        ("request_id", json!("a b"), "/request_id"),
        ("lease", json!(5), "/lease"),
    ] {
        let refused = api
            .post("/api/worker/claim", &with(offer(), field, value.clone()))
            .await;
        let problem = refused.problem(422, "invalid_body");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{field} {value}: {problem}");
    }
    let without_names = api.post("/api/worker/claim", &json!({"worker": "a"})).await;
    assert_eq!(
        without_names.problem(422, "invalid_body")["errors"][0]["pointer"],
        "/names"
    );
}

#[tokio::test]
async fn a_success_that_is_told_again_with_another_output_is_refused() {
    let api = Api::start().await;
    let held = claimed(&api, json!({"name": "mail"})).await;
    let complete = async |body: &str| {
        let body = serde_json::from_str(body).expect("JSON");
        tell(&api, &held, "complete", &body).await
    };
    let first = complete(r#"{"output": {"a": 1, "b": [2.5]}}"#).await;
    for same in [
        r#"{"output": {"a": 1, "b": [2.5]}}"#,
        r#"{"output": {"b": [2.50], "a": 1}}"#,
    ] {
        assert_eq!(complete(same).await.json(), first.json());
    }
    for other in [r#"{"output": {"a": 2, "b": [2.5]}}"#, "{}", r#"{"output": null}"#] {
        complete(other).await.problem(409, "attempt_over");
    }
    assert_eq!(read(&api, &held).await["output"], json!({"a": 1, "b": [2.5]}));
}

#[tokio::test]
async fn of_a_kind_of_error_that_nobody_may_report_those_are_told_that_one_may() {
    let api = Api::start().await;
    let held = claimed(&api, json!({"name": "mail"})).await;
    for kind in ["Lost", "Broken"] {
        let body = json!({"error": {"message": "a", "kind": kind}});
        let problem = tell(&api, &held, "fail", &body).await.problem(422, "invalid_body");
        let told = problem["errors"][0]["message"].as_str().unwrap_or_default();
        assert_eq!(
            told,
            format!(
                "unknown variant `{kind}`, expected one of `Failed`, `TimedOut`, `NotFound`, `OutOfMemory`, `Cancelled`"
            )
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_report_is_told_with_its_place_and_the_attempt_goes_on() {
    let api = Api::start().await;
    let held = claimed(&api, json!({"name": "mail"})).await;
    let large = "x".repeat(65_537);
    for (call, body, pointer) in [
        (
            "complete",
            json!({"follow_ups": [{"name": "echo"}, {"name": "a b"}]}),
            "/follow_ups/1/name",
        ),
        (
            "complete",
            json!({"follow_ups": [{"name": "echo", "input": "${ nothing }"}]}),
            "/follow_ups/0/input",
        ),
        ("complete", json!({"result": 1}), "/result"),
        ("fail", json!({}), "/error"),
        (
            "fail",
            json!({"error": {"message": "a", "kind": "Lost"}}),
            "/error/kind",
        ),
        (
            "fail",
            json!({"error": {"message": "a", "kind": "TimedOut"}, "retryable": false}),
            "/retryable",
        ),
        ("fail", json!({"error": {"message": large}}), "/error/message"),
        ("release", json!({"reason": large}), "/reason"),
        ("heartbeat", json!({"progress": 1.1}), "/progress"),
        ("heartbeat", json!({"checkpoint": large}), "/checkpoint"),
    ] {
        let problem = tell(&api, &held, call, &body).await.problem(422, "invalid_body");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{call}: {problem}");
    }
    assert_eq!(tell(&api, &held, "complete", &json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_output_that_is_too_large_fails_the_task_and_is_answered_alike_when_it_is_repeated() {
    let api = Api::start_with(&[("tasks.output_max_bytes", "100")]).await;
    let held = claimed(&api, json!({"name": "mail", "max_retries": 5})).await;
    for _ in 0..2 {
        let ended = tell(&api, &held, "complete", &json!({"output": "x".repeat(100)})).await;
        assert_eq!(ended.json()["outcome"], "Failed", "{ended:?}");
    }
    let task = read(&api, &held).await;
    assert_eq!(
        (&task["status"], &task["error"]["kind"]),
        (&json!("Failed"), &json!("OutputNotStorable"))
    );
}

#[tokio::test]
async fn many_reports_in_one_request_are_each_recorded_or_refused_for_themselves() {
    let api = Api::start().await;
    for number in 0..4 {
        api.create(json!({"name": "mail", "input": number})).await;
    }
    let held = claim(&api, &with(offer(), "max", json!(10))).await;
    let report = |index: usize, how: &str, body: Value| {
        let mut report = json!({"task_id": held[index]["id"], "attempt": 1});
        report[how] = body;
        report
    };
    let body = json!({"reports": [
        report(0, "complete", json!({"output": 1})),
        report(1, "fail", json!({"error": {"message": "broken"}})),
        report(2, "release", json!({})),
        report(3, "complete", json!({"follow_ups": [{"name": "a b"}]})),
        {"task_id": held[3]["id"], "attempt": 2, "complete": {}},
    ]});
    let expected = [
        json!("Success"),
        json!("Failed"),
        json!("Released"),
        Value::Null,
        Value::Null,
    ];
    for _ in 0..2 {
        let answer = api.post("/api/worker/reports", &body).await;
        let results = answer.json()["results"].clone();
        let outcomes: Vec<Value> = (0..5).map(|index| results[index]["outcome"].clone()).collect();
        assert_eq!(outcomes, expected, "{results}");
        assert_eq!(
            results[3]["problem"]["errors"][0]["pointer"], "/follow_ups/0/name",
            "{results}"
        );
        assert_eq!(results[4]["problem"]["code"], "attempt_not_found");
    }
    for (body, pointer) in [
        (json!({"reports": []}), "/reports"),
        (
            json!({"reports": [{"task_id": held[0]["id"], "attempt": 1}]}),
            "/reports/0",
        ),
        (
            json!({"reports": [report(0, "complete", json!({})), {"task_id": held[0]["id"], "attempt": 1, "complete": {}, "release": {}}]}),
            "/reports/1",
        ),
    ] {
        let problem = api
            .post("/api/worker/reports", &body)
            .await
            .problem(422, "invalid_body");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn why_and_queues_know_of_external_workers() {
    let api = Api::start().await;
    let id = api.create(json!({"name": "mail"})).await;
    let why = || async { api.get(&format!("/api/tasks/{id}/why")).await.json() };
    let alone = why().await;
    let other = json!({"worker": "outside", "names": ["sms"]});
    assert!(claim(&api, &other).await.is_empty());
    let not_offered = why().await;
    let elsewhere = with(with(offer(), "targets", json!(["gpu"])), "worker", json!("b"));
    assert!(claim(&api, &elsewhere).await.is_empty());
    assert_ne!(alone["reason"], not_offered["reason"], "{alone} {not_offered}");
    let queues = api.get("/api/queues").await.json();
    let targets: Vec<&Value> = queues["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|queue| &queue["target"])
        .collect();
    assert_eq!(targets, ["default", "gpu"]);
}

#[tokio::test]
async fn a_report_brings_what_was_written_and_how_far_it_came() {
    let api = Api::start().await;
    let ends = [
        ("complete", json!({"output": 1})),
        ("fail", json!({"error": {"message": "broken"}})),
        ("release", json!({})),
    ];
    for (call, end) in ends {
        let held = claimed(&api, json!({"name": "mail"})).await;
        for (field, value) in [
            ("progress", json!(1.5)),
            ("log", json!("a\0b")),
            ("log", json!("x".repeat(262_145))),
        ] {
            let refused = tell(&api, &held, call, &with(end.clone(), field, value)).await;
            assert_eq!(
                refused.problem(422, "invalid_body")["errors"][0]["pointer"],
                format!("/{field}")
            );
        }
        let log = format!("first\n{}", "é".repeat(40_000));
        let end = with(with(end, "progress", json!(0.75)), "log", json!(log));
        for _ in 0..2 {
            let ended = tell(&api, &held, call, &end).await;
            assert_eq!(ended.status, StatusCode::OK, "{ended:?}");
        }
        let id = held["id"].as_str().expect("an id");
        let told = api.get(&format!("/api/tasks/{id}/logs")).await;
        assert!(told.bytes == log.as_bytes(), "{call}: {} bytes", told.bytes.len());
        assert_eq!(read(&api, &held).await["progress"], 0.75);
        api.post(&format!("/api/tasks/{id}/cancel"), &json!({})).await;
    }
}
