//! Sagas over HTTP, on both databases: an order from its start to each of its ends, and what people do with one on its way.

mod children;
mod costly;
mod definitions;
mod due;
mod events;
mod order;
mod people;
mod repeated;
mod retired;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::common::{Answer, Api};

/// Each of these stories, on both databases: with an [`Api`], or with something of another type that starts as it does.
macro_rules! on_both {
    ($flavor:tt, $with:ty; $($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = $flavor)]
            async fn $story() {
                super::$story(&<$with>::start().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = $flavor)]
            async fn $story() {
                super::$story(&<$with>::on_postgres().await).await;
            })+
        }
    };
    ($($story:ident),+ $(,)?) => {
        $crate::sagas::on_both!("current_thread", $crate::common::Api; $($story),+);
    };
}
pub(crate) use on_both;

const ORDER: &str = include_str!("../../../../config/sagas/order.yaml");

pub(crate) const YAML: [(&str, &str); 1] = [("content-type", "application/yaml")];

/// Gives a definition that is fine.
pub(crate) async fn define(api: &Api, name: &str, source: &str) -> Value {
    let defined = api
        .put_text(&format!("/api/saga-definitions/{name}"), &YAML, source)
        .await;
    assert_eq!(defined.status, StatusCode::CREATED, "{defined:?}");
    defined.json()
}

pub(crate) async fn start(api: &Api, body: Value) -> Value {
    let started = api.post("/api/sagas", &body).await;
    assert_eq!(started.status, StatusCode::CREATED, "{started:?}");
    let saga = started.json();
    assert_eq!(started.header("location"), path(&saga));
    assert_eq!(started.header("etag"), format!("\"{}\"", saga["version"]));
    saga
}

pub(crate) async fn start_order(api: &Api, correlation_id: &str) -> Value {
    define(api, "order", ORDER).await;
    let input = json!({"order_id": correlation_id, "customer_id": "c-1", "items": ["a", "b"], "total": 42});
    start(
        api,
        json!({"definition": "order", "correlation_id": correlation_id, "input": input}),
    )
    .await
}

pub(crate) fn path(saga: &Value) -> String {
    format!("/api/sagas/{}", saga["id"].as_str().expect("an id"))
}

pub(crate) async fn read(api: &Api, saga: &Value) -> Value {
    api.get(&path(saga)).await.json()
}

/// Whether it is as a call has answered it, but for what is due, which only a look tells.
pub(crate) async fn assert_unchanged(api: &Api, answered: &Value, why: &str) {
    let found = read(api, answered).await;
    let mut expected = answered.clone();
    expected["timers"] = found["timers"].clone();
    assert_eq!(found, expected, "{why}");
}

/// The saga when it waits for somebody or is over.
pub(crate) async fn settled(api: &Api, saga: &Value) -> Value {
    api.get(&format!("{}?wait_seconds=20", path(saga))).await.json()
}

pub(crate) async fn history(api: &Api, saga: &Value) -> Vec<Value> {
    let page = api.get(&format!("{}/history?limit=200", path(saga))).await.json();
    assert_eq!(page["next_cursor"], Value::Null);
    page["items"].as_array().expect("items").clone()
}

/// A worker takes the only task of this name that is ready, or will be in a moment.
pub(crate) async fn claim(api: &Api, name: &str) -> Value {
    let offer = json!({
        "worker": format!("of {name}"), "names": [name], "targets": ["default", "billing", "warehouse", "shipping"],
        "wait_seconds": 20
    });
    let claimed = api.post("/api/worker/claim", &offer).await.json();
    let tasks = claimed["tasks"].as_array().expect("tasks");
    assert_eq!(tasks.len(), 1, "{name}: {claimed}");
    tasks[0].clone()
}

pub(crate) async fn report(api: &Api, task: &Value, call: &str, body: &Value) -> Answer {
    let id = task["id"].as_str().expect("an id");
    let path = format!("/api/worker/tasks/{id}/attempts/{}/{call}", task["attempt"]);
    let answer = api.post(&path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

/// Does the task of this name; what it was given.
pub(crate) async fn succeed(api: &Api, name: &str, output: Value) -> Value {
    let task = claim(api, name).await;
    report(api, &task, "complete", &json!({"output": output})).await;
    task["input"].clone()
}

/// Fails the task of this name for good.
pub(crate) async fn fail(api: &Api, name: &str, message: &str) {
    fail_once(api, name, message, false).await;
}

/// Fails the task of this name; which attempt it was.
pub(crate) async fn fail_once(api: &Api, name: &str, message: &str, retryable: bool) -> Value {
    let task = claim(api, name).await;
    let failure = json!({"error": {"message": message}, "retryable": retryable});
    report(api, &task, "fail", &failure).await;
    task["attempt"].clone()
}

/// The names of the log events of a history, in their order.
pub(crate) fn logged(history: &[Value]) -> Vec<&str> {
    history
        .iter()
        .flat_map(|entry| entry["log"].as_array().into_iter().flatten())
        .map(|log| log["event"].as_str().expect("a name"))
        .collect()
}
