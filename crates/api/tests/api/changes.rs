//! Following changes of tasks and sagas.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Method, StatusCode};
use futures::StreamExt;
use orchestratum_engine::keys::Scope;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::common::{Api, request};
use crate::sagas::on_both;

/// Longer than any of it takes.
const BOUND: Duration = Duration::from_secs(20);

const DOOR: &str = "name: door\ninitial: A\nstates:\n  A: {on: {start: {target: B}}}\n  B: {on: {opened: {target: C}}}\n  C: {final: true}\n";

on_both!(
    changes_of_tasks_and_sagas_are_told_as_they_come,
    a_follower_is_told_what_it_asks_for,
    who_comes_again_misses_nothing_or_is_told_so,
);

struct Event {
    id: String,
    name: String,
    data: Value,
}

/// An answer that goes on.
struct Stream {
    pieces: BodyDataStream,
    unread: String,
}

impl Stream {
    /// The next event with data.
    async fn next(&mut self) -> Event {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                if let Some(data) = field("data") {
                    return Event {
                        id: field("id").expect("every event has a place").to_owned(),
                        name: field("event").expect("a name").to_owned(),
                        data: serde_json::from_str(data).expect("JSON"),
                    };
                }
            }
            let piece = timeout(BOUND, self.pieces.next()).await.expect("it comes in time");
            let piece = piece.expect("it goes on").expect("a piece");
            self.unread.push_str(str::from_utf8(&piece).expect("UTF-8"));
        }
    }

    /// The next one of this name, and of what has this field.
    async fn find(&mut self, name: &str, field: &str, value: &str) -> Event {
        loop {
            let event = self.next().await;
            assert_ne!(event.name, "reset");
            if event.name == name && event.data[field] == value {
                return event;
            }
        }
    }
}

async fn follow_with(api: &Api, query: &str, header: Option<(&str, &str)>) -> Stream {
    let mut request = request(Method::GET, &format!("/api/events{query}"));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = api
        .router
        .clone()
        .oneshot(request)
        .await
        .expect("a router always answers");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Stream {
        pieces: response.into_body().into_data_stream(),
        unread: String::new(),
    }
}

async fn follow(api: &Api, query: &str) -> Stream {
    let mut stream = follow_with(api, query, None).await;
    assert_eq!(stream.next().await.name, "ready");
    stream
}

async fn door(api: &Api, correlation_id: &str) -> Value {
    let headers = [("content-type", "application/yaml")];
    api.put_text("/api/saga-definitions/door", &headers, DOOR).await;
    let body = json!({"definition": "door", "correlation_id": correlation_id});
    api.post("/api/sagas", &body).await.json()
}

async fn open(api: &Api, saga: &Value) {
    let path = format!("/api/sagas/{}/events", saga["id"].as_str().expect("an id"));
    assert_eq!(api.post(&path, &json!({"name": "opened"})).await.status, StatusCode::OK);
}

async fn changes_of_tasks_and_sagas_are_told_as_they_come(api: &Api) {
    let mut stream = follow(api, "").await;
    let id = api.create(json!({"name": "echo"})).await;
    let created = stream.find("task", "id", &id).await;
    assert_eq!(
        created.data,
        json!({
            "id": id, "name": "echo", "target": "default", "status": "Pending", "run": 1, "attempt": 0, "saga_id": null, "version": 1
        })
    );
    api.claim().await;
    let claimed = stream.find("task", "id", &id).await;
    assert_eq!(
        (&claimed.data["status"], &claimed.data["attempt"]),
        (&json!("InProgress"), &json!(1))
    );
    let other = api.create(json!({"name": "echo", "target": "nobody"})).await;
    api.post_empty(&format!("/api/tasks/{other}/cancel")).await;
    stream.find("task", "status", "Cancelled").await;
    api.post_empty(&format!("/api/tasks/{other}/retry")).await;
    let again = stream.find("task", "id", &other).await;
    assert_eq!(
        (&again.data["status"], &again.data["run"]),
        (&json!("Pending"), &json!(2))
    );

    let saga = door(api, "d-1").await;
    let started = stream.find("saga", "correlation_id", "d-1").await;
    let id = &saga["id"];
    assert_eq!(
        started.data,
        json!({"id": id, "definition": "door", "correlation_id": "d-1", "status": "Running", "state": "B", "version": 1})
    );
    open(api, &saga).await;
    let opened = stream.find("saga", "correlation_id", "d-1").await;
    assert_eq!(
        (&opened.data["status"], &opened.data["version"]),
        (&json!("Completed"), &json!(2))
    );
}

async fn a_follower_is_told_what_it_asks_for(api: &Api) {
    let mut of_one = follow(api, "?correlation_id=d-2&status=Completed").await;
    let mut of_tasks = follow(api, "?kind=task&name=echo&target=wanted").await;
    let (first, second) = (door(api, "d-1").await, door(api, "d-2").await);
    open(api, &first).await;
    open(api, &second).await;
    let told = of_one.next().await;
    assert_eq!((&told.data["id"], &told.data["state"]), (&second["id"], &json!("C")));
    api.create(json!({"name": "echo", "target": "other"})).await;
    let wanted = api.create(json!({"name": "echo", "target": "wanted"})).await;
    assert_eq!(of_tasks.next().await.data["id"], wanted);

    for query in [
        "?kind=saga&name=echo",
        "?name=echo&definition=door",
        "?kind=task&state=B",
    ] {
        api.get(&format!("/api/events{query}"))
            .await
            .problem(422, "invalid_query");
    }
    for (query, pointer) in [
        ("?kind=group", "/kind"),
        ("?status=Waiting", "/status"),
        ("?kind=task&status=TimedOut", "/status"),
        ("?target=a%20b", "/target"),
        ("?labels=x", "/labels"),
    ] {
        let refused = api
            .get(&format!("/api/events{query}"))
            .await
            .problem(422, "invalid_query");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{query}: {refused}");
    }
    let key = api.key(&[Scope::TasksRead]).await;
    let mut of_a_reader = {
        let mut request = request(Method::GET, "/api/events");
        request
            .headers_mut()
            .expect("headers")
            .insert("x-api-key", key.parse().expect("a header"));
        let request = request.body(Body::empty()).expect("a request");
        let response = api.router.clone().oneshot(request).await.expect("an answer");
        Stream {
            pieces: response.into_body().into_data_stream(),
            unread: String::new(),
        }
    };
    assert_eq!(of_a_reader.next().await.name, "ready");
    door(api, "d-3").await;
    let task = api.create(json!({"name": "echo"})).await;
    assert_eq!(of_a_reader.next().await.data["id"], task, "it may not read sagas");
    let mut request = request(Method::GET, "/api/events?kind=saga");
    request
        .headers_mut()
        .expect("headers")
        .insert("x-api-key", key.parse().expect("a header"));
    let refused = api.send(request.body(Body::empty()).expect("a request")).await;
    refused.problem(403, "missing_scope");
    each_kind_has_its_own_scope(api).await;
}

async fn each_kind_has_its_own_scope(api: &Api) {
    let of_sagas = format!("ApiKey {}", api.key(&[Scope::SagasRead]).await);
    for query in ["?kind=saga", ""] {
        let mut stream = follow_with(api, query, Some(("authorization", of_sagas.as_str()))).await;
        assert_eq!(stream.next().await.name, "ready");
        api.create(json!({"name": "echo"})).await;
        door(api, &format!("d-4{query}")).await;
        assert_eq!(stream.next().await.name, "saga", "it may not read tasks");
    }
    let of_workers = format!("ApiKey {}", api.key(&[Scope::Worker]).await);
    for (key, query, missing) in [
        (&of_sagas, "?kind=task", "need the scope tasks:read"),
        (&of_sagas, "?target=nobody", "need the scope tasks:read"),
        (&of_workers, "", "needs the scope tasks:read or sagas:read"),
    ] {
        let request = request(Method::GET, &format!("/api/events{query}")).header("authorization", key);
        let refused = api.send(request.body(Body::empty()).expect("a request")).await;
        let refused = refused.problem(403, "missing_scope");
        assert!(
            refused["detail"]
                .as_str()
                .is_some_and(|detail| detail.ends_with(missing)),
            "{query}: {refused}"
        );
    }
}

async fn who_comes_again_misses_nothing_or_is_told_so(api: &Api) {
    let mut stream = follow_with(api, "", None).await;
    let ready = stream.next().await;
    let first = api.create(json!({"name": "echo", "target": "nobody"})).await;
    let told = stream.find("task", "id", &first).await;
    drop(stream);
    let second = api.create(json!({"name": "echo", "target": "nobody"})).await;
    let mut again = follow_with(api, "", Some(("last-event-id", told.id.as_str()))).await;
    assert_eq!(again.next().await.data["id"], second, "it happened meanwhile");
    let mut from_the_first = follow_with(api, "", Some(("last-event-id", ready.id.as_str()))).await;
    assert_eq!(from_the_first.next().await.data["id"], first);
    assert_eq!(from_the_first.next().await.data["id"], second);

    let elsewhere = "0123456789abcdef-1";
    let mut reset = follow_with(api, "", Some(("last-event-id", elsewhere))).await;
    let event = reset.next().await;
    assert_eq!((event.name.as_str(), &event.data), ("reset", &json!({})));
    let third = api.create(json!({"name": "echo", "target": "nobody"})).await;
    assert_eq!(reset.next().await.data["id"], third, "from there on nothing is missed");
    let wrong = request(Method::GET, "/api/events").header("last-event-id", "1-0");
    let refused = api.send(wrong.body(Body::empty()).expect("a request")).await;
    refused.problem(400, "invalid_header");
}

#[tokio::test]
async fn what_changes_through_one_server_is_told_by_another() {
    let here = Api::on_postgres().await;
    // A server that nobody followed before: the other one must have heard of it when it says that it is ready.
    for _ in 0..5 {
        let there = Api::beside(&here).await;
        let mut stream = follow(&there, "").await;
        let task = here.create(json!({"name": "echo", "target": "nobody"})).await;
        assert_eq!(stream.next().await.data["id"], task);
    }

    let there = Api::beside(&here).await;
    let mut stream = follow(&there, "").await;
    let task = here.create(json!({"name": "echo"})).await;
    stream.find("task", "id", &task).await;
    here.claim().await;
    let claimed = stream.find("task", "id", &task).await;
    assert_eq!(claimed.data["status"], "InProgress");
    let saga = door(&here, "d-1").await;
    let started = stream.find("saga", "correlation_id", "d-1").await;
    assert_eq!(started.data["state"], "B");

    // Whoever comes again to the same server misses nothing of what happened through the other one.
    drop(stream);
    open(&here, &saga).await;
    let late = here.create(json!({"name": "echo", "target": "nobody"})).await;
    let behind = Some(("last-event-id", started.id.as_str()));
    let mut again = follow_with(&there, "", behind).await;
    assert_eq!(again.find("saga", "state", "C").await.data["id"], saga["id"]);
    let mut again = follow_with(&there, "?kind=task", behind).await;
    assert_eq!(again.next().await.data["id"], late);

    // The places of one server are none of another: it says so, and goes on from there.
    let mut elsewhere = follow_with(&here, "", behind).await;
    assert_eq!(elsewhere.next().await.name, "reset");
    let next = there.create(json!({"name": "echo", "target": "nobody"})).await;
    assert_eq!(
        elsewhere.next().await.data["id"],
        next,
        "from there on nothing is missed"
    );
}
