//! Values that break a rule of their field: the rule is told with what was given, unless that may be a secret.

use crate::common::Api;
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_number_out_of_its_range_is_told_with_the_range_and_what_was_given() {
    let api = Api::start().await;
    let task = |field: &str, value: &Value| json!({"name": "echo", field: value});
    for (body, pointer, message) in [
        (
            task("delay_seconds", &json!(-5)),
            "/delay_seconds",
            "must lie between 0 and 315619200 seconds, not -5",
        ),
        (
            task("ttl_seconds", &json!(0)),
            "/ttl_seconds",
            "must lie between 0.001 and 3155760000 seconds, not 0",
        ),
        (
            task("priority", &json!(-1)),
            "/priority",
            "must be a whole number from 0 to 9, not -1",
        ),
        (
            task("priority", &json!(1.5)),
            "/priority",
            "must be a whole number from 0 to 9, not 1.5",
        ),
        (
            task("max_retries", &json!(u64::MAX)),
            "/max_retries",
            "must be a whole number from 0 to 1000, not 18446744073709551615",
        ),
        (
            task("max_losses", &json!(1e300)),
            "/max_losses",
            "must be a whole number from 0 to 1000, not 1e300",
        ),
        (
            task("limits", &json!({"memory_mb": 0})),
            "/limits/memory_mb",
            "must be a whole number from 1 to 1048576, not 0",
        ),
        (
            task("limits", &json!({"cpu_seconds": -1})),
            "/limits/cpu_seconds",
            "must be a whole number from 1 to 2592000, not -1",
        ),
        (
            task("backoff", &json!({"kind": "fixed", "delay_seconds": 1e6})),
            "/backoff",
            "a back-off delay must lie between 0 and 86400 seconds, not 1000000",
        ),
    ] {
        let problem = api.post("/api/tasks", &body).await.problem(422, "invalid_body");
        assert_eq!(
            problem["errors"],
            json!([{"pointer": pointer, "message": message}]),
            "{body}"
        );
    }
    let id = api.create(json!({"name": "echo"})).await;
    let path = format!("/api/tasks/{id}");
    let problem = api.patch(&path, &[], &json!({"priority": 10})).await;
    let message = problem.problem(422, "invalid_body")["errors"][0]["message"].clone();
    assert_eq!(message, "must be a whole number from 0 to 9, not 10");
}

#[tokio::test]
async fn the_input_of_a_built_in_task_is_checked_where_it_enters_and_never_repeated() {
    const SECRET: &str = "a secret of the caller";
    let api = Api::start().await;
    let told = |problem: &Value| {
        assert!(!problem.to_string().contains(SECRET), "{problem}");
        problem["errors"][0]["pointer"].as_str().expect("a pointer").to_owned()
    };
    for (name, input, pointer) in [
        ("python", Value::Null, "/input"),
        ("python", json!(SECRET), "/input"),
        ("python", json!({"cod": SECRET}), "/input/cod"),
        ("python", json!({"code": [SECRET]}), "/input/code"),
        (
            "python",
            json!({"code": "", "env": {"TOKEN": [SECRET]}}),
            "/input/env/TOKEN",
        ),
        (
            "python",
            json!({"code": "", "env": {"PATH": SECRET}}),
            "/input/env/PATH",
        ),
        ("python", json!({"code": "", "network": "on"}), "/input/network"),
        (
            "python",
            json!({"code": "", "environment": format!("../{SECRET}")}),
            "/input/environment",
        ),
        (
            "http",
            json!({"url": format!("http://{SECRET}@a.example")}),
            "/input/url",
        ),
        (
            "http",
            json!({"url": "http://a.example", "headers": {"host": SECRET}}),
            "/input/headers/host",
        ),
        ("csharp", json!({"cod": SECRET}), "/input/cod"),
        (
            "csharp",
            json!({"code": "", "env": {"DOTNET_STARTUP_HOOKS": SECRET}}),
            "/input/env/DOTNET_STARTUP_HOOKS",
        ),
        ("shell", json!({"command": SECRET, "script": SECRET}), "/input/script"),
        ("shell", json!({"command": "ls", "args": {"a": SECRET}}), "/input/args"),
    ] {
        let task = json!({"name": name, "input": input});
        let problem = api.post("/api/tasks", &task).await.problem(422, "invalid_body");
        assert_eq!(told(&problem), pointer, "{task}");
        let batch = json!({"tasks": [{"name": "echo"}, task]});
        let problem = api.post("/api/tasks/batch", &batch).await.problem(422, "invalid_body");
        assert_eq!(told(&problem), format!("/tasks/1{pointer}"), "{batch}");
    }
    assert_eq!(api.count().await, 0, "nothing was stored");

    let id = api.create(json!({"name": "shell", "input": {"command": "ls"}})).await;
    let path = format!("/api/tasks/{id}");
    let input = json!({"input": {"command": [SECRET]}});
    let problem = api.patch(&path, &[], &input).await.problem(422, "invalid_body");
    assert_eq!(told(&problem), "/input/command");
    let patched = api.patch(&path, &[], &json!({"input": {"script": "true"}})).await;
    assert_eq!(patched.status, StatusCode::OK, "{patched:?}");
    api.post_empty(&format!("{path}/cancel")).await;
    let retry = format!("{path}/retry");
    let problem = api.post(&retry, &input).await.problem(422, "invalid_body");
    assert_eq!(told(&problem), "/input/command");
    assert_eq!(api.post_empty(&retry).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn no_name_of_a_gitlab_task_leads_elsewhere_and_nothing_of_it_is_stored() {
    let api = Api::start().await;
    for unsafe_name in [
        "",
        "/",
        "//",
        "/etc/passwd",
        "..",
        "../..",
        "../../users",
        "a/../b",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "..\\..",
        "a%2fb",
        "%2e%2e",
        "%252e%252e",
        "a\u{0}b",
        "a\nb",
        "a\r\nHost: b",
        "a?private_token=x",
        "a#b",
        "\u{202e}txt",
        "\u{feff}a",
    ] {
        let input = json!({
            "project": unsafe_name, "branch": unsafe_name, "start_branch": unsafe_name, "message": "m",
            "expected_commit": unsafe_name, "files": {unsafe_name: "1"}, "step": "a b",
        });
        let task = json!({"name": "gitlab.commit", "input": input});
        let answer = api.post("/api/tasks", &task).await;
        if unsafe_name.contains('\0') {
            // No text of JSON may have it.
            assert!(answer.status.is_client_error(), "{answer:?}");
            continue;
        }
        let problem = answer.problem(422, "invalid_body");
        let broken = problem["errors"].as_array().expect("a list");
        let pointers: Vec<&str> = broken.iter().filter_map(|broken| broken["pointer"].as_str()).collect();
        let fields: Vec<&str> = pointers
            .iter()
            .filter_map(|pointer| pointer.split('/').nth(2))
            .collect();
        let expected = ["project", "branch", "start_branch", "files", "expected_commit", "step"];
        assert_eq!(fields, expected, "{unsafe_name:?}: {problem}");
        for (task, pointer) in [
            (
                json!({"name": "gitlab.get_file", "input": {"project": "a/b", "path": unsafe_name, "branch": "main"}}),
                "/input/path",
            ),
            (
                json!({"name": "gitlab.create_branch", "input": {"project": "a/b", "branch": "b", "from": unsafe_name}}),
                "/input/from",
            ),
        ] {
            let problem = api.post("/api/tasks", &task).await.problem(422, "invalid_body");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{unsafe_name:?}");
        }
    }
    assert_eq!(api.count().await, 0, "nothing was stored");
}
