//! Tasks over HTTP: creating, reading, listing, changing, ending.

use std::time::Duration;

use crate::common::{Api, shared};
use axum::http::StatusCode;
use orchestratum_core::task::{Ending, Progress};
use orchestratum_store::{Evidence, LogAppend};
use serde_json::{Value, json};

#[tokio::test]
async fn a_created_task_is_answered_whole_and_reads_back_the_same() {
    let api = Api::start_with(&[("tasks.max_delay_seconds", "1e10")]).await;
    let created = api
        .post(
            "/api/tasks",
            &json!({
                "name": "totals", "description": "nightly totals", "input": {"b": 1, "a": [1.50, "é"]},
                "target": "default", "priority": 3, "ttl_seconds": 60, "timeout_seconds": 1.5, "max_retries": 2,
                "max_losses": 1, "backoff": {"kind": "fixed", "delay_seconds": 2}, "labels": {"team": "billing"},
                "scheduled_at": "2100-01-01T00:00:00Z", "limits": {"memory_mb": 64},
                "on_success": [], "on_failure": [], "on_cancel": [], "on_expire": []
            }),
        )
        .await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let task = created.json();
    let id = task["id"].as_str().expect("an id");
    assert_eq!(created.header("location"), format!("/api/tasks/{id}"));
    assert_eq!(created.header("etag"), "\"1\"");
    for (field, expected) in [
        ("name", json!("totals")),
        ("description", json!("nightly totals")),
        ("input", json!({"b": 1, "a": [1.5, "é"]})),
        ("target", json!("default")),
        ("priority", json!(3)),
        ("ttl_seconds", json!(60)),
        ("timeout_seconds", json!(1.5)),
        ("max_retries", json!(2)),
        ("max_losses", json!(1)),
        ("backoff", json!({"kind": "fixed", "delay_seconds": 2.0})),
        ("labels", json!({"team": "billing"})),
        ("limits", json!({"memory_mb": 64})),
        ("status", json!("Pending")),
        ("run", json!(1)),
        ("attempt", json!(0)),
        ("retries_left", json!(2)),
        ("losses_left", json!(1)),
        ("progress", Value::Null),
        ("output", Value::Null),
        ("error", Value::Null),
        ("scheduled_at", json!("2100-01-01T00:00:00Z")),
        ("expires_at", json!("2100-01-01T00:01:00Z")),
        ("started_at", Value::Null),
        ("finished_at", Value::Null),
        ("worker_id", Value::Null),
        ("parent_id", Value::Null),
        ("saga_id", Value::Null),
        ("cancel_requested", json!(false)),
        ("version", json!(1)),
    ] {
        assert_eq!(task.get(field), Some(&expected), "{field}");
    }
    assert!(task["created_at"].as_str().is_some_and(|time| time.ends_with('Z')));
    let read = api.get(&format!("/api/tasks/{id}")).await;
    assert_eq!(read.json(), task);
    assert_eq!(read.header("etag"), "\"1\"");
}

#[tokio::test]
async fn a_read_can_wait_for_the_end() {
    let api = shared().await;
    let id = api.create(json!({"name": "echo", "input": 5})).await;
    let path = format!("/api/tasks/{id}?wait_seconds=30");
    let reader = tokio::spawn({
        let api = std::sync::Arc::clone(&api);
        async move { api.get(&path).await }
    });
    let claimed = api.claim().await;
    let evidence = Evidence {
        output: Some(claimed.input.clone()),
        ..Evidence::default()
    };
    api.finish(claimed.id, claimed.attempt, Ending::Success, evidence).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), reader)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(answer.json()["status"], "Completed");
    assert_eq!(answer.json()["output"], 5);

    // One that is over is answered at once, one that is not after the time asked for.
    let at_once = api.send_preferring(&format!("/api/tasks/{id}"), "wait=30").await;
    assert_eq!(at_once.header("preference-applied"), "wait=30");
    let pending = api.create(json!({"name": "echo"})).await;
    let still = api.get(&format!("/api/tasks/{pending}?wait_seconds=0.05")).await;
    assert_eq!(still.json()["status"], "Pending");
}

#[tokio::test]
async fn a_task_says_how_far_its_newest_attempt_is() {
    let api = Api::start().await;
    let id = api.create(json!({"name": "echo"})).await;
    let read = async || api.get(&format!("/api/tasks/{id}")).await;
    let claimed = api.claim().await;
    let before = read().await;
    assert_eq!(before.json()["progress"], Value::Null);
    let told = LogAppend {
        task: claimed.id,
        attempt: claimed.attempt,
        chunks: Vec::new(),
        progress: Some(Progress::new(0.25).expect("a share")),
    };
    api.engine.append_logs(&[told]).await.expect("it is stored");
    let running = read().await;
    assert_eq!(running.json()["progress"], 0.25);
    assert_eq!(running.header("etag"), before.header("etag"), "a patch may go on");
    let listed = api.get("/api/tasks").await.json();
    assert_eq!(listed["items"][0]["progress"], 0.25);
    api.finish(claimed.id, claimed.attempt, Ending::Success, Evidence::default())
        .await;
    let over = read().await.json();
    assert_eq!(
        (&over["status"], &over["progress"]),
        (&json!("Completed"), &json!(0.25))
    );
}

#[tokio::test]
async fn a_create_can_wait_for_the_end() {
    let api = shared().await;
    let creator = tokio::spawn({
        let api = std::sync::Arc::clone(&api);
        async move {
            api.post_with("/api/tasks", &[("prefer", "wait=30")], r#"{"name": "echo"}"#)
                .await
        }
    });
    let claimed = loop {
        if api.count().await == 1 {
            break api.claim().await;
        }
        tokio::task::yield_now().await;
    };
    api.finish(claimed.id, claimed.attempt, Ending::Success, Evidence::default())
        .await;
    let answer = tokio::time::timeout(Duration::from_secs(10), creator)
        .await
        .expect("in time")
        .expect("no panic");
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.header("preference-applied"), "wait=30");
    assert_eq!(answer.json()["status"], "Completed");
}

#[tokio::test]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let api = Api::start().await;
    let created = api
        .post(
            "/api/tasks/batch",
            &json!({"tasks": [{"name": "echo"}, {"name": "totals"}]}),
        )
        .await;
    assert_eq!(created.status, StatusCode::CREATED);
    let names: Vec<_> = created.json()["tasks"]
        .as_array()
        .expect("tasks")
        .iter()
        .map(|task| task["name"].clone())
        .collect();
    assert_eq!(names, ["echo", "totals"]);

    let refused = api
        .post(
            "/api/tasks/batch",
            &json!({"tasks": [{"name": "echo"}, {"name": "a b", "priority": 10}]}),
        )
        .await
        .problem(422, "invalid_body");
    let pointers: Vec<_> = refused["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/tasks/1/name", "/tasks/1/priority"]);
    let typed = api
        .post(
            "/api/tasks/batch",
            &json!({"tasks": [{"name": "echo"}, {"name": "echo", "tll_seconds": 1}]}),
        )
        .await
        .problem(422, "invalid_body");
    assert_eq!(typed["errors"][0]["pointer"], "/tasks/1/tll_seconds");
    for tasks in [json!([]), Value::Array(vec![json!({"name": "echo"}); 1_001])] {
        let refused = api
            .post("/api/tasks/batch", &json!({"tasks": tasks}))
            .await
            .problem(422, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], "/tasks");
    }
    assert_eq!(api.count().await, 2);
    let most = api
        .post(
            "/api/tasks/batch",
            &json!({"tasks": vec![json!({"name": "echo"}); 1_000]}),
        )
        .await;
    assert_eq!(most.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_list_is_paged_newest_first_and_filtered() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for index in 0..5 {
        let team = if index % 2 == 0 { "even" } else { "odd" };
        ids.push(api.create(json!({"name": "echo", "labels": {"team": team}})).await);
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/tasks?limit=2".to_owned();
    loop {
        let page = api.get(&path).await.json();
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|task| task["id"].as_str().expect("an id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/tasks?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);

    let count = async |query: &str| {
        let page = api.get(&format!("/api/tasks?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}: {page:?}");
        page.json()["items"].as_array().expect("items").len()
    };
    assert_eq!(count("label.team=even").await, 3);
    assert_eq!(count("label.team=odd&status=Pending").await, 2);
    assert_eq!(count("status=Failed").await, 0);
    assert_eq!(count("name=echo&target=default").await, 5);
    assert_eq!(count("name=other").await, 0);
    assert_eq!(count("created_after=2020-01-01T00:00:00Z").await, 5);
    assert_eq!(count("created_before=2020-01-01T00:00:00Z").await, 0);
    assert_eq!(count("parent_id=01936e5a-7c00-7000-8000-000000000000").await, 0);
}

#[tokio::test]
async fn a_patch_merges_and_is_guarded_by_its_etag() {
    let api = Api::start().await;
    let id = api
        .create(json!({"name": "echo", "description": "old", "timeout_seconds": 5, "labels": {"a": "1", "b": "2"}}))
        .await;
    let path = format!("/api/tasks/{id}");
    let patch = json!({"description": null, "timeout_seconds": null, "labels": {"a": null, "c": "3"}, "priority": 7});
    let patched = api
        .patch(&path, &[("content-type", "application/merge-patch+json")], &patch)
        .await;
    let task = patched.json();
    assert_eq!(patched.status, StatusCode::OK, "{task}");
    assert_eq!(task["description"], Value::Null);
    assert_eq!(task["timeout_seconds"], Value::Null);
    assert_eq!(task["labels"], json!({"b": "2", "c": "3"}));
    assert_eq!(task["priority"], 7);
    assert_eq!(patched.header("etag"), "\"2\"");

    api.patch(&path, &[("if-match", "\"1\"")], &json!({"priority": 1}))
        .await
        .problem(412, "version_mismatch");
    api.patch(&path, &[("if-match", "W/\"2\"")], &json!({"priority": 1}))
        .await
        .problem(412, "version_mismatch");
    let guarded = api
        .patch(&path, &[("if-match", "\"2\"")], &json!({"priority": 1, "labels": null}))
        .await;
    assert_eq!(guarded.json()["labels"], json!({}));
    let any = api
        .patch(
            &path,
            &[("if-match", "*")],
            &json!({"input": {"new": true}, "max_retries": 4}),
        )
        .await;
    assert_eq!(any.json()["input"], json!({"new": true}));
    assert_eq!(any.json()["retries_left"], 4);
    let null = api
        .patch(&path, &[], &json!({"priority": null}))
        .await
        .problem(422, "invalid_body");
    assert_eq!(null["errors"][0]["pointer"], "/priority");

    api.claim().await;
    api.patch(&path, &[], &json!({"input": 1}))
        .await
        .problem(409, "illegal_transition");
    assert_eq!(
        api.patch(&path, &[], &json!({"description": "runs"})).await.json()["description"],
        "runs"
    );
}

#[tokio::test]
async fn a_patch_that_changes_nothing_leaves_the_etag_and_is_no_more_allowed_than_others() {
    let api = Api::start().await;
    let id = api
        .create(json!({"name": "echo", "input": [1], "timeout_seconds": 5, "labels": {"a": "1"}}))
        .await;
    let path = format!("/api/tasks/{id}");
    let before = api.get(&path).await;
    for same in [
        json!({}),
        json!({"input": [1], "timeout_seconds": 5, "labels": {"a": "1"}}),
        json!({"labels": {"b": null}, "description": null, "ttl_seconds": 86_400, "max_retries": 0}),
    ] {
        let patched = api.patch(&path, &[], &same).await;
        assert_eq!(
            (patched.status, patched.header("etag")),
            (StatusCode::OK, "\"1\""),
            "{same}"
        );
        assert_eq!(patched.json(), before.json(), "{same}");
    }
    api.patch(&path, &[("if-match", "\"2\"")], &json!({}))
        .await
        .problem(412, "version_mismatch");
    api.claim().await;
    api.patch(&path, &[], &json!({"input": [1]}))
        .await
        .problem(409, "illegal_transition");
    api.post_empty(&format!("{path}/cancel")).await;
    let again = api.post_empty(&format!("{path}/cancel")).await;
    assert_eq!(again.status, StatusCode::OK, "its worker was told");
    assert_eq!(
        (&again.json()["cancel_requested"], again.header("etag")),
        (&json!(true), "\"3\"")
    );
}

#[tokio::test]
async fn limits_are_changed_one_by_one_by_a_patch_and_by_a_retry() {
    let api = Api::start().await;
    let id = api
        .create(json!({"name": "echo", "limits": {"memory_mb": 64, "cpu_seconds": 5}}))
        .await;
    let path = format!("/api/tasks/{id}");
    let patch = json!({"limits": {"memory_mb": 128, "cpu_seconds": null, "disk_mb": 8}});
    let patched = api.patch(&path, &[], &patch).await;
    assert_eq!(patched.status, StatusCode::OK, "{patched:?}");
    assert_eq!(patched.json()["limits"], json!({"memory_mb": 128, "disk_mb": 8}));
    let again = api.patch(&path, &[], &patch).await;
    assert_eq!(again.header("etag"), "\"2\"", "it is so already");
    let refused = api.patch(&path, &[], &json!({"limits": {"memory_mb": 0}})).await;
    assert_eq!(
        refused.problem(422, "invalid_body")["errors"][0]["pointer"],
        "/limits/memory_mb"
    );
    api.post_empty(&format!("{path}/cancel")).await;
    let retried = api
        .post(&format!("{path}/retry"), &json!({"limits": {"memory_mb": 512}}))
        .await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{retried:?}");
    assert_eq!(retried.json()["limits"], json!({"memory_mb": 512, "disk_mb": 8}));
    let removed = api.patch(&path, &[], &json!({"limits": null})).await;
    assert_eq!(removed.json()["limits"], json!(null));
    api.claim().await;
    api.patch(&path, &[], &json!({"limits": {"memory_mb": 64}}))
        .await
        .problem(409, "illegal_transition");
}

#[tokio::test]
async fn cancel_retry_and_delete_follow_the_status() {
    let api = Api::start().await;
    let id = api.create(json!({"name": "echo"})).await;
    let path = format!("/api/tasks/{id}");
    let refused = api
        .post_empty(&format!("{path}/retry"))
        .await
        .problem(409, "illegal_transition");
    assert!(
        refused["detail"].as_str().expect("a detail").contains("Pending"),
        "{refused}"
    );
    api.delete(&path).await.problem(409, "illegal_transition");

    let cancelled = api
        .post(&format!("{path}/cancel"), &json!({"reason": "not needed"}))
        .await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED);
    assert_eq!(cancelled.json()["status"], "Cancelled");
    assert_eq!(cancelled.json()["error"]["kind"], "Cancelled");
    let again = api.post(&format!("{path}/cancel"), &json!({"reason": "again"})).await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, cancelled.json()));

    let edited = api
        .post(&format!("{path}/retry"), &json!({"input": 2, "ttl_seconds": 5}))
        .await;
    assert_eq!(edited.status, StatusCode::ACCEPTED);
    assert_eq!(
        (
            &edited.json()["run"],
            &edited.json()["input"],
            &edited.json()["ttl_seconds"]
        ),
        (&json!(2), &json!(2), &json!(5))
    );

    api.post_empty(&format!("{path}/cancel")).await;
    assert_eq!(api.delete(&path).await.status, StatusCode::NO_CONTENT);
    for (method, call) in [
        ("GET", ""),
        ("GET", "/attempts"),
        ("GET", "/logs"),
        ("GET", "/why"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ] {
        let path = format!("{path}{call}");
        let answer = match method {
            "GET" => api.get(&path).await,
            "POST" => api.post_empty(&path).await,
            _ => api.delete(&path).await,
        };
        answer.problem(404, "task_not_found");
    }
}

#[tokio::test]
async fn why_names_the_reason() {
    let api = Api::start().await;
    let later = api.create(json!({"name": "echo", "delay_seconds": 60})).await;
    assert_eq!(
        api.get(&format!("/api/tasks/{later}/why")).await.json()["reason"],
        "due_later"
    );
    let id = api.create(json!({"name": "echo"})).await;
    let why = api.get(&format!("/api/tasks/{id}/why")).await.json();
    assert_eq!(
        (why["reason"].as_str(), why["target"].as_str()),
        (Some("no_worker"), Some("default"))
    );
    assert!(why["message"].is_string());
    api.claim().await;
    assert_eq!(
        api.get(&format!("/api/tasks/{id}/why")).await.json()["reason"],
        "running"
    );
    for _ in 0..2 {
        api.create(json!({"name": "echo"})).await;
    }
    let waits = api.create(json!({"name": "echo"})).await;
    let why = api.get(&format!("/api/tasks/{waits}/why")).await.json();
    assert_eq!(
        (&why["reason"], &why["workers"], &why["ahead"]),
        (&json!("waiting_for_worker"), &json!(1), &json!(2)),
        "{why}"
    );
}

#[tokio::test]
async fn stats_workers_and_queues_count_what_is_there() {
    let api = Api::start().await;
    api.create(json!({"name": "echo"})).await;
    api.create(json!({"name": "echo"})).await;
    api.claim().await;
    let stats = api.get("/api/tasks/stats").await.json();
    assert_eq!(
        stats["by_status"],
        json!({"Pending": 1, "InProgress": 1, "Completed": 0, "Failed": 0, "Expired": 0, "Cancelled": 0})
    );
    assert_eq!(
        (&stats["targets"][0]["queued"], &stats["targets"][0]["running"]),
        (&json!(1), &json!(1))
    );
    assert!(stats["targets"][0]["oldest_pending_age_seconds"].is_number());
    assert_eq!(stats["truncated"], false);
    assert!(stats["counted_at"].is_string());
    api.get("/api/tasks/stats?by=name").await.problem(422, "invalid_query");
    let workers = api.get("/api/workers").await.json();
    assert_eq!(
        (&workers["items"][0]["state"], &workers["items"][0]["running"]),
        (&json!("Live"), &json!(1))
    );
    assert_eq!(workers["items"][0]["environments"], json!(["reports"]));

    assert_eq!(
        api.post_empty("/api/queues/default/pause").await.status,
        StatusCode::NO_CONTENT
    );
    let queue = api.get("/api/queues").await.json()["items"][0].clone();
    assert_eq!(
        (&queue["target"], &queue["paused"], &queue["depth"]),
        (&json!("default"), &json!(true), &json!(1))
    );
    assert_eq!(
        api.post_empty("/api/queues/default/resume").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(api.get("/api/queues").await.json()["items"][0]["paused"], false);
    for (call, listed) in [("pause", 2), ("resume", 1)] {
        let path = format!("/api/queues/ahead/{call}");
        assert_eq!(api.post_empty(&path).await.status, StatusCode::NO_CONTENT);
        let queues = api.get("/api/queues").await.json();
        assert_eq!(queues["items"].as_array().expect("items").len(), listed, "{queues}");
    }
    api.post_empty("/api/queues/a%20b/pause")
        .await
        .problem(422, "invalid_path");
}

#[tokio::test]
async fn a_page_of_large_tasks_is_short_and_says_where_to_go_on() {
    const TASKS: usize = 10;
    let api = Api::start().await;
    let input = "x".repeat(1_000_000);
    for _ in 0..TASKS {
        api.create(json!({"name": "echo", "input": input})).await;
    }
    let first = api.get("/api/tasks?limit=200").await;
    assert!(first.bytes.len() < 9 << 20, "{} bytes", first.bytes.len());
    let first = first.json();
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = api.get(&format!("/api/tasks?limit=200&cursor={cursor}")).await.json();
    assert_eq!(second["next_cursor"], json!(null));
    let ids: std::collections::BTreeSet<String> = [first, second]
        .iter()
        .flat_map(|page| page["items"].as_array().expect("items"))
        .map(|task| task["id"].to_string())
        .collect();
    assert_eq!(ids.len(), TASKS);
}
