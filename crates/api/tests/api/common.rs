//! The whole interface in this process: a real router over a real engine on a database in memory.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "the test of the log is a program of its own and uses a part of this"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use orchestratum_core::task::Ending;
use orchestratum_core::{Target, TaskId, TaskName};
use orchestratum_engine::keys::{CreateKey, Scope};
use orchestratum_engine::{Engine, Settings};
use orchestratum_store::{ClaimRequest, ClaimedTask, Evidence, Registration};
use orchestratum_testkit::Schema;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

pub(crate) const BOOTSTRAP: &str = "the bootstrap key of the tests";

/// An API in this process.
pub(crate) struct Api {
    pub(crate) engine: Engine,
    pub(crate) router: Router,
    stop: CancellationToken,
    /// Where it is one of its own on PostgreSQL; gone with this.
    pub(crate) schema: Option<Schema>,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.bytes))
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// On a schema of its own.
    pub(crate) async fn on_postgres() -> Self {
        Self::on_postgres_with(&[]).await
    }

    pub(crate) async fn on_postgres_with(overrides: &[(&str, &str)]) -> Self {
        let url = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL: the tests are run by `cargo xtask test`, which sets it");
        let schema = Schema::unique(&url).await.expect("a schema");
        let mut api = Self::in_schema(&schema, overrides).await;
        api.schema = Some(schema);
        api
    }

    /// Another server on the database of one.
    pub(crate) async fn beside(other: &Self) -> Self {
        Self::in_schema(other.schema.as_ref().expect("one on PostgreSQL"), &[]).await
    }

    async fn in_schema(schema: &Schema, overrides: &[(&str, &str)]) -> Self {
        let url = std::env::var("DATABASE_URL").expect("it was there");
        let database = [("database.url", url.as_str()), ("database.schema", schema.name())];
        Self::start_with(&[&database, overrides].concat()).await
    }

    pub(crate) async fn start_with(overrides: &[(&str, &str)]) -> Self {
        let mut settings = vec![
            ("database.url", "sqlite::memory:"),
            ("broker.url", "database"),
            ("auth.bootstrap_key", BOOTSTRAP),
        ];
        settings.extend_from_slice(overrides);
        let settings = Settings::load_with(&settings).expect("valid settings");
        let engine = Engine::connect(settings).await.expect("a database in memory");
        engine.migrate().await.expect("a schema");
        let stop = CancellationToken::new();
        engine.start_background(false, &TaskTracker::new(), &stop);
        Self {
            router: orchestratum_api::router(engine.clone()),
            engine,
            stop,
            schema: None,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("a router always answers");
        let (parts, body) = response.into_parts();
        // One that goes on for ever is left after its head.
        let goes_on = parts
            .headers
            .get("content-type")
            .is_some_and(|kind| kind == "text/event-stream");
        let bytes = if goes_on {
            Vec::new()
        } else {
            body.collect().await.expect("a whole body").to_bytes().to_vec()
        };
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            bytes,
        };
        answer.check();
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path).body(Body::empty()).expect("a request"))
            .await
    }

    pub(crate) async fn send_preferring(&self, path: &str, preference: &str) -> Answer {
        let request = request(Method::GET, path).header("prefer", preference);
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(request(Method::DELETE, path).body(Body::empty()).expect("a request"))
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], &body.to_string()).await
    }

    pub(crate) async fn post_empty(&self, path: &str) -> Answer {
        self.send(request(Method::POST, path).body(Body::empty()).expect("a request"))
            .await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.write(Method::POST, path, headers, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.write(Method::PUT, path, &[], &body.to_string()).await
    }

    pub(crate) async fn put_text(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.write(Method::PUT, path, headers, body).await
    }

    pub(crate) async fn patch(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.write(Method::PATCH, path, headers, &body.to_string()).await
    }

    async fn write(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = request(method, path);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).expect("a request"))
            .await
    }

    /// Creates a task and answers its id.
    pub(crate) async fn create(&self, body: Value) -> String {
        let created = self.post("/api/tasks", &body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
        created.json()["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn key(&self, scopes: &[Scope]) -> String {
        let request = CreateKey {
            name: "of a test".to_owned(),
            scopes: scopes.to_vec(),
            expires_at: None,
        };
        self.engine.create_key(request).await.expect("a key").text.reveal()
    }

    /// A worker of the target takes one task.
    pub(crate) async fn claim(&self) -> ClaimedTask {
        self.claim_one_of(&["echo", "python"]).await.expect("a ready task")
    }

    /// A worker that does tasks of these names takes one, if there is one.
    pub(crate) async fn claim_one_of(&self, names: &[&str]) -> Option<ClaimedTask> {
        let worker = self.engine.clock().new_worker_id();
        let target = Target::new("default").expect("a target");
        let names = names.iter().map(|name| TaskName::new(*name).expect("a name"));
        let names: Vec<TaskName> = names.collect();
        let registration = Registration {
            id: worker,
            name: "a test".to_owned(),
            targets: vec![target.clone()],
            names: names.clone(),
            capacity: 1,
            isolation: "off".to_owned(),
            environments: vec!["reports".parse().expect("a name")],
            version: "0".to_owned(),
            lease: Duration::from_secs(60),
        };
        self.engine.register_worker(&registration).await.expect("registered");
        let request = ClaimRequest {
            worker,
            named: Vec::new(),
            targets: vec![target],
            names,
            limit: 1,
            fill_up: true,
        };
        let claimed = self.engine.claim(&request).await.expect("a claim");
        claimed.into_iter().next()
    }

    pub(crate) async fn finish(&self, task: TaskId, attempt: u32, ending: Ending, evidence: Evidence) {
        self.engine
            .finish(task, attempt, ending, evidence)
            .await
            .expect("a report");
    }

    /// How many tasks there are.
    pub(crate) async fn count(&self) -> u64 {
        self.engine.store().counts(1_000).await.expect("counts").values().sum()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).expect("UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a text"))
    }

    /// Asserts a problem document of this status and code, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!(
            (self.status.as_u16(), problem["code"].as_str()),
            (status, Some(code)),
            "{problem}"
        );
        problem
    }

    /// What holds for every answer.
    #[track_caller]
    fn check(&self) {
        assert!(!self.header("x-request-id").is_empty(), "every answer has a request id");
        if self.status.is_client_error() {
            assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
            let problem = self.json();
            assert_eq!(problem["status"], self.status.as_u16());
            assert_eq!(problem["request_id"], self.header("x-request-id"));
            assert_eq!(
                problem["type"],
                format!("/docs/errors/{}", problem["code"].as_str().expect("a code"))
            );
            assert!(
                problem["title"].is_string() && problem["detail"].is_string(),
                "{problem}"
            );
        }
    }
}

/// A request with the key that may do all.
pub(crate) fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("x-api-key", BOOTSTRAP)
}

/// Shared, so that a test may send from several tasks.
pub(crate) async fn shared() -> Arc<Api> {
    Arc::new(Api::start().await)
}
