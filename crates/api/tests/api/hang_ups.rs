//! Clients that hang up: what was begun goes on, what was not does not, and nothing piles up.

use std::future::Future;
use std::time::Duration;

use crate::common::{Api, request};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

/// Shorter than every limit that would end the work as well.
const BOUND: Duration = Duration::from_secs(10);

type Piece = Result<Bytes, std::io::Error>;

/// A request, and what says that its body was read: from then on it is under way.
fn told(method: Method, path: &str, body: &Value) -> (Request<Body>, oneshot::Receiver<()>) {
    let (tell, read) = oneshot::channel();
    let text = Bytes::from(body.to_string());
    let end = stream::once(async move {
        let _ = tell.send(());
        Piece::Ok(Bytes::new())
    });
    let body = Body::from_stream(stream::once(async move { Piece::Ok(text) }).chain(end));
    let request = request(method, path).header("content-type", "application/json");
    (request.body(body).expect("a request"), read)
}

/// Sends the request, and hangs up when `until` is over.
async fn hang_up(api: &Api, request: Request<Body>, until: impl Future) {
    let answer = api.router.clone().oneshot(request);
    tokio::select! {
        biased;
        _ = until => {}
        _ = answer => panic!("it was answered before the client hung up"),
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(BOUND, waiting).await.expect(what);
}

#[tokio::test]
async fn a_change_that_was_begun_is_made_without_its_client() {
    let api = Api::start().await;
    let id = api.create(json!({"name": "echo", "target": "nobody"})).await;
    let path = format!("/api/tasks/{id}");
    // Labels are merged: read first, then written.
    let (request, read) = told(Method::PATCH, &path, &json!({"labels": {"team": "billing"}}));
    hang_up(&api, request, read).await;
    eventually("the task has its label", async || {
        api.get(&path).await.json()["labels"]["team"] == "billing"
    })
    .await;
}

#[tokio::test]
async fn a_request_whose_body_has_not_arrived_ends_with_its_client() {
    let api = Api::start().await;
    let (reading, begun) = oneshot::channel();
    let (held, mut released) = oneshot::channel::<()>();
    let body = stream::once(async move {
        // Gone when the body is.
        let _held = held;
        let _ = reading.send(());
        std::future::pending::<Piece>().await
    });
    let post = request(Method::POST, "/api/tasks").header("content-type", "application/json");
    let post = post.body(Body::from_stream(body)).expect("a request");
    hang_up(&api, post, begun).await;
    let ended = timeout(BOUND, &mut released)
        .await
        .expect("sooner than the body's time is over");
    assert!(ended.is_err(), "nobody holds the body");
}

#[tokio::test]
async fn a_create_that_waits_for_its_task_keeps_no_other_change_from_its_place() {
    let api = Api::start_with(&[("api.max_connections", "1")]).await;
    let nap = json!({"name": "echo", "target": "nobody"});
    let waiting = request(Method::POST, "/api/tasks")
        .header("content-type", "application/json")
        .header("prefer", "wait=60")
        .body(Body::from(nap.to_string()))
        .expect("a request");
    hang_up(&api, waiting, async {
        eventually("the first is stored", async || api.count().await == 1).await;
        eventually("another one is, too", async || {
            api.post("/api/tasks", &nap).await.status == StatusCode::CREATED
        })
        .await;
    })
    .await;
}
