//! Who may call what, and what the OpenAPI document says about it.

use std::collections::HashSet;

use crate::common::{Answer, Api, BOOTSTRAP};
use crate::gitlab::Lab;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use orchestratum_engine::keys::Scope;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Hexadecimal digits behind the secret of a key.
const CHECKSUM_LENGTH: usize = 6;

const OPEN: [&str; 2] = ["/health/live", "/health/ready"];

async fn document(api: &Api) -> Value {
    let request = Request::get("/api-docs/openapi.json")
        .body(Body::empty())
        .expect("a request");
    api.send(request).await.json()
}

/// Every call of the document: method, path with something in its places, and its description.
fn calls(document: &Value) -> Vec<(Method, String, Value)> {
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path
            .replace("{id}", "01936e5a-7c00-7000-8000-000000000000")
            .replace("{attempt}", "1")
            .replace("{name}", "greeting")
            .replace("{version}", "1")
            .replace("{number}", "1")
            .replace("{event_id}", "1")
            .replace("{target}", "default");
        for (method, operation) in item.as_object().expect("a path item") {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).expect("a method");
            calls.push((method, path.clone(), operation.clone()));
        }
    }
    calls
}

async fn call(api: &Api, method: &Method, path: &str, key: Option<(&str, &str)>) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json");
    if let Some((name, value)) = key {
        request = request.header(name, value);
    }
    api.send(request.body(Body::from("{}")).expect("a request")).await
}

#[tokio::test]
async fn every_route_but_the_open_ones_needs_a_key_with_its_scope() {
    let api = Api::start().await;
    let document = document(&api).await;
    let mut open = Vec::new();
    for (method, path, operation) in calls(&document) {
        if operation["security"] == json!([]) {
            let answer = call(&api, &method, &path, None).await;
            assert_eq!(answer.status, StatusCode::OK, "{method} {path}: {answer:?}");
            open.push(path);
            continue;
        }
        let without = call(&api, &method, &path, None).await;
        without.problem(401, "unauthenticated");
        assert_eq!(without.header("www-authenticate"), "ApiKey", "{method} {path}");
        let needed: Vec<Scope> = Scope::ALL
            .into_iter()
            .filter(|scope| {
                operation["description"]
                    .as_str()
                    .is_some_and(|text| text.contains(&format!("`{scope}`")))
            })
            .collect();
        // Each kind of changes has its own.
        let number = if (method.as_str(), path.as_str()) == ("GET", "/api/events") {
            2
        } else {
            1
        };
        assert_eq!(needed.len(), number, "{method} {path} names its scope: {operation}");
        let others: Vec<Scope> = Scope::ALL
            .into_iter()
            .filter(|scope| !needed.contains(scope) && *scope != Scope::Admin)
            .collect();
        let key = api.key(&others).await;
        let refused = call(&api, &method, &path, Some(("x-api-key", &key)))
            .await
            .problem(403, "missing_scope");
        for scope in needed {
            assert!(
                refused["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains(scope.as_str())),
                "{refused}"
            );
            let key = api.key(&[scope]).await;
            let let_in = call(&api, &method, &path, Some(("authorization", &format!("apikey {key}")))).await;
            assert!(
                !matches!(let_in.status.as_u16(), 401 | 403),
                "{method} {path}: {let_in:?}"
            );
        }
    }
    assert_eq!(open, OPEN);
}

#[tokio::test]
async fn a_key_works_in_either_header_until_it_is_revoked() {
    let api = Api::start().await;
    let body = json!({"name": "reader", "scopes": ["tasks:read"], "expires_at": "2100-01-01T00:00:00Z"});
    let created = api.post("/api/keys", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    assert_eq!(created.header("cache-control"), "no-store");
    assert_eq!(
        api.get("/api/tasks").await.header("cache-control"),
        "no-store",
        "nor is any other answer that needed a key"
    );
    let key = created.json()["key"].as_str().expect("a key").to_owned();
    let id = created.json()["id"].as_str().expect("an id").to_owned();
    assert!(key.starts_with(&format!("orch_{id}_")));
    for header in [("x-api-key", key.clone()), ("authorization", format!("ApiKey {key}"))] {
        let answer = call(&api, &Method::GET, "/api/tasks", Some((header.0, &header.1))).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let listed = api.get("/api/keys").await;
    assert_eq!(listed.json()["items"][0]["name"], "reader");
    assert!(
        !listed.text().contains(key.rsplit('_').next().expect("a secret")),
        "a list shows no secret"
    );

    assert_eq!(
        api.delete(&format!("/api/keys/{id}")).await.status,
        StatusCode::NO_CONTENT
    );
    call(&api, &Method::GET, "/api/tasks", Some(("x-api-key", &key)))
        .await
        .problem(401, "unauthenticated");
    api.delete("/api/keys/AAAAAAAAAAAA").await.problem(404, "key_not_found");
    api.delete("/api/keys/a%20b").await.problem(422, "invalid_path");
}

#[tokio::test]
async fn wrong_keys_are_all_refused_alike() {
    let api = Api::start().await;
    let key = api.key(&[Scope::Admin]).await;
    let mut changed = key.clone();
    changed.pop();
    let mut answers = HashSet::new();
    for wrong in [
        "x",
        "orch_",
        "orch_AAAAAAAAAAAA_",
        &changed,
        &BOOTSTRAP[1..],
        &"k".repeat(5_000),
    ] {
        let refused = call(&api, &Method::GET, "/api/tasks", Some(("x-api-key", wrong)))
            .await
            .problem(401, "unauthenticated");
        answers.insert(refused["detail"].as_str().expect("a detail").to_owned());
    }
    assert_eq!(answers.len(), 1);
    let bearer = call(&api, &Method::GET, "/api/tasks", Some(("authorization", "Bearer x")))
        .await
        .problem(401, "unauthenticated");
    let detail = bearer["detail"].as_str().expect("a detail");
    assert!(detail.contains("no key in the scheme ApiKey"), "{detail}");
}

/// The id of one key with the secret of another, in the right form: only its hash shows that it is wrong.
fn forged(id_of: &str, secret_of: &str) -> String {
    let (_, id, _) = parts(id_of);
    let (_, _, secret) = parts(secret_of);
    let secret = &secret[..secret.len() - CHECKSUM_LENGTH];
    let digest: [u8; 32] = Sha256::digest(format!("{id}_{secret}")).into();
    let [first, second, third, ..] = digest;
    format!("orch_{id}_{secret}{first:02x}{second:02x}{third:02x}")
}

/// `orch`, the id, and the secret with its checksum.
fn parts(key: &str) -> (&str, &str, &str) {
    let mut parts = key.split('_');
    let mut next = || parts.next().expect("three parts");
    (next(), next(), next())
}

#[tokio::test]
async fn a_wrong_secret_of_a_key_is_no_use_of_it() {
    let api = Api::start().await;
    let (key, other) = (api.key(&[Scope::TasksRead]).await, api.key(&[Scope::TasksRead]).await);
    let id = parts(&key).1;
    let last_used_at = async || {
        let stored = api.engine.store().key(id).await.expect("works");
        stored.expect("it is there").last_used_at
    };
    assert_eq!(forged(&key, &key), key, "the form is the right one");
    for _ in 0..2 {
        let forged = forged(&key, &other);
        call(&api, &Method::GET, "/api/tasks", Some(("x-api-key", &forged)))
            .await
            .problem(401, "unauthenticated");
        assert_eq!(last_used_at().await, None);
    }
    let right = call(&api, &Method::GET, "/api/tasks", Some(("x-api-key", &key))).await;
    assert_eq!(right.status, StatusCode::OK);
    let used_at = last_used_at().await;
    assert!(used_at.is_some(), "also when a wrong one was tried just before");
    call(&api, &Method::GET, "/api/tasks", Some(("x-api-key", &key))).await;
    assert_eq!(last_used_at().await, used_at, "not written down with every request");
}

#[tokio::test]
async fn rules_for_new_keys_are_named() {
    let api = Api::start().await;
    for (body, pointer) in [
        (json!({"name": "", "scopes": ["admin"]}), "/name"),
        (json!({"name": "a\0", "scopes": ["admin"]}), "/name"),
        (json!({"name": "x", "scopes": []}), "/scopes"),
        (json!({"name": "x", "scopes": ["root"]}), "/scopes/0"),
        (
            json!({"name": "x", "scopes": ["admin"], "expires_at": "2020-01-01T00:00:00Z"}),
            "/expires_at",
        ),
    ] {
        let refused = api.post("/api/keys", &body).await.problem(422, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
}

#[tokio::test]
async fn every_example_of_a_new_task_is_taken() {
    let api = Api::start().await;
    let document = document(&api).await;
    let content = &document["paths"]["/api/tasks"]["post"]["requestBody"]["content"]["application/json"];
    let examples = content["examples"].as_object().expect("examples");
    for example in examples.values() {
        let created = api.post("/api/tasks", &example["value"]).await;
        assert_eq!(created.status, StatusCode::CREATED, "{example}: {created:?}");
    }
    for name in ["echo", "http", "python", "csharp", "shell"] {
        assert!(examples.contains_key(name), "{name} has an example");
    }
}

#[tokio::test]
async fn the_document_is_whole() {
    let api = Api::start().await;
    let document = document(&api).await;
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1")),
        "{}",
        document["openapi"]
    );
    assert_eq!(document["info"]["license"]["name"], "MIT OR Apache-2.0");
    assert!(document["components"]["securitySchemes"]["ApiKey"].is_object());
    let tags: HashSet<_> = document["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .map(|tag| tag["name"].clone())
        .collect();
    let mut ids = HashSet::new();
    for (method, path, operation) in calls(&document) {
        let id = operation["operationId"].as_str().expect("an operation id").to_owned();
        assert!(ids.insert(id), "{method} {path}: operation ids are unique");
        assert!(
            operation["tags"]
                .as_array()
                .is_some_and(|of| of.iter().all(|tag| tags.contains(tag))),
            "{operation}"
        );
        assert!(operation["summary"].is_string(), "{method} {path} says what it does");
    }
    assert_eq!(ids.len(), 72);
    let text = document.to_string();
    for (_, reference) in text
        .match_indices("#/components/schemas/")
        .map(|(at, _)| (at, &text[at + 21..]))
    {
        let name = reference.split('"').next().expect("a name");
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name} is described"
        );
    }
}

/// What a reader tries first must work.
#[tokio::test]
async fn every_example_runs_as_shown() {
    let api = Lab::with(&[("api.max_wait_seconds", "1")]).await;
    api.commits("issue/42", "balance_input.json", "{}").await;
    let document = document(&api).await;
    let mut tried = 0;
    for (method, path, operation) in calls(&document) {
        let Some(content) = operation["requestBody"]["content"].as_object() else {
            continue;
        };
        for (content_type, media) in content {
            let single = media.get("example").cloned();
            let several = media["examples"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(_, example)| example["value"].clone());
            let examples: Vec<Value> = single.into_iter().chain(several).collect();
            assert!(!examples.is_empty(), "{method} {path} {content_type} has an example");
            for example in examples {
                tried += 1;
                // What is started by its name is given before.
                if path == "/api/sagas" || path == "/api/events" {
                    let put = &document["paths"]["/api/saga-definitions/{name}"]["put"]["requestBody"]["content"];
                    api.put("/api/saga-definitions/greeting", &put["application/json"]["example"])
                        .await;
                }
                // What an external worker claims is none of the built-in tasks.
                let name = if path.contains("/attempts/") { "mail" } else { "echo" };
                let id = api
                    .create(json!({"name": name, "target": "nobody", "labels": {"old": "1"}}))
                    .await;
                if path.ends_with("/retry") {
                    api.post_empty(&format!("/api/tasks/{id}/cancel")).await;
                }
                let id = if path.starts_with("/api/schedules/") {
                    let schedule = json!({"name": "x", "cron": "@daily", "task": {"name": "echo"}});
                    let schedule = api.post("/api/schedules", &schedule).await.json();
                    schedule["id"].as_str().expect("an id").to_owned()
                } else if path.starts_with("/api/sagas/") {
                    waiting_saga(&api, &path).await
                } else if path.starts_with("/api/groups/") {
                    let group = api.post("/api/groups", &json!({"tasks": [{"name": "echo"}]})).await;
                    group.json()["id"].as_str().expect("an id").to_owned()
                } else {
                    id
                };
                if path.ends_with("/claim") {
                    api.create(json!({"name": "invoice.send"})).await;
                }
                if path.contains("/attempts/") {
                    let claim = json!({"worker": "a", "targets": ["nobody"], "names": ["mail"], "max": 1_000});
                    api.post("/api/worker/claim", &claim).await;
                }
                let path = path.replace("01936e5a-7c00-7000-8000-000000000000", &id);
                let headers = [("content-type", content_type.as_str())];
                let text = match &example {
                    Value::String(text) if content_type != "application/json" => text.clone(),
                    example => example.to_string(),
                };
                let answer = match method {
                    Method::PATCH => api.patch(&path, &headers, &example).await,
                    Method::PUT => api.put_text(&path, &headers, &text).await,
                    _ => api.post_with(&path, &headers, &text).await,
                };
                assert!(answer.status.is_success(), "{method} {path} {example}: {answer:?}");
            }
        }
    }
    assert!(tried >= 8, "{tried}");
}

/// A saga that runs by the first of two versions: both have the state that it is in.
async fn saga_of_two_versions(api: &Api) -> String {
    let put = async |event: &str| {
        let definition = json!({
            "name": "moved", "initial": "Initial", "states": {
                "Initial": {"on": {"start": {"target": "AwaitingPayment"}}},
                "AwaitingPayment": {"on": {event: {"target": "Done"}}},
                "Done": {"final": true},
            }
        });
        let put = api.put("/api/saga-definitions/moved", &definition).await;
        assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    };
    put("paid").await;
    let saga = api.post("/api/sagas", &json!({"definition": "moved"})).await.json();
    put("payment_received").await;
    saga["id"].as_str().expect("an id").to_owned()
}

/// A saga for which the example of this call is made.
async fn waiting_saga(api: &Api, path: &str) -> String {
    if path.ends_with("/migrate") {
        return saga_of_two_versions(api).await;
    }
    let definition = json!({
        "name": "example", "initial": "Initial", "context": {"limit": 0}, "states": {
            "Initial": {"on": {"start": {"target": "Waiting"}}},
            "Waiting": {
                "await_input": {"event": "approved", "prompt": "Approve?", "schema": {"type": "object"}},
                "on": {
                    "approved": {"target": "Done"},
                    "greeted": {"target": "Done"},
                    "checked": {"set": {"share": "${ 1 / context.limit }"}, "target": "Done"},
                },
            },
            "Done": {"final": true},
        }
    });
    api.put("/api/saga-definitions/example", &definition).await;
    let saga = api.post("/api/sagas", &json!({"definition": "example"})).await.json();
    let id = saga["id"].as_str().expect("an id").to_owned();
    if path.ends_with("/retry") {
        api.post(&format!("/api/sagas/{id}/events"), &json!({"name": "checked"}))
            .await;
    }
    id
}

#[tokio::test]
async fn documents_and_error_pages_are_open() {
    let api = Api::start().await;
    let get = async |path: &str| {
        api.send(Request::get(path).body(Body::empty()).expect("a request"))
            .await
    };
    let page = get("/swagger/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("content-security-policy"), "frame-ancestors 'none'");
    for path in ["/", "/swagger"] {
        let elsewhere = get(path).await;
        assert_eq!(elsewhere.status, StatusCode::SEE_OTHER);
        assert_eq!(elsewhere.header("location"), "/swagger/");
    }
    for code in orchestratum_api::Code::ALL {
        let page = get(&format!("/docs/errors/{}", code.as_str())).await;
        assert_eq!((page.status, page.text().is_empty()), (StatusCode::OK, false));
    }
    for (path, begins) in [
        ("/docs/tasks.md", "# The built-in tasks"),
        ("/docs/tasks", "# The built-in tasks"),
        ("/docs/sandbox.md", "# "),
        ("/docs/http-workers.md", "# HTTP workers"),
        ("/docs/errors/README.md", "# Errors"),
        ("/docs/errors/task_not_found.md", "# `task_not_found`"),
    ] {
        let page = get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text().starts_with(begins), "{path}");
    }
    assert_eq!(get("/docs/errors").await.header("location"), "/docs/errors/README.md");
    get("/docs/nothing").await.problem(404, "route_not_found");
}

#[tokio::test]
async fn metrics_need_a_key_unless_they_are_public() {
    let api = Api::start().await;
    call(&api, &Method::GET, "/metrics", None)
        .await
        .problem(401, "unauthenticated");
    api.create(json!({"name": "echo", "target": "counted"})).await;
    let figures = api.get("/metrics").await;
    assert_eq!(figures.status, StatusCode::OK);
    let text = figures.text();
    for figure in [
        "orchestratum_queue_depth{target=\"counted\"} 1",
        "orchestratum_http_requests_total{",
        "orchestratum_tasks_created_total",
        "orchestratum_sagas{status=\"CompensationStuck\"} 0",
    ] {
        assert!(text.contains(figure), "{figure} is missing in:\n{text}");
    }
    // A target without tasks and workers is none.
    assert!(!text.contains("target=\"gone\""), "{text}");
    let gone = api.create(json!({"name": "echo", "target": "gone"})).await;
    assert!(
        api.get("/metrics")
            .await
            .text()
            .contains("orchestratum_queue_ready{target=\"gone\"} 1")
    );
    api.post_empty(&format!("/api/tasks/{gone}/cancel")).await;
    let text = api.get("/metrics").await.text();
    assert!(
        !text.contains("target=\"gone\""),
        "the figures of a target go with it:\n{text}"
    );
    let public = Api::start_with(&[("metrics.public", "true")]).await;
    assert_eq!(
        call(&public, &Method::GET, "/metrics", None).await.status,
        StatusCode::OK
    );
}
