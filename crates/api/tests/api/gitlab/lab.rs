//! An api with a GitLab, and the hands of somebody else in that GitLab.

use std::ops::Deref;

use orchestratum_sandbox::Shim;
use orchestratum_store::ClaimedTask;
use orchestratum_testkit::{Fault, FaultKind, GitlabDouble, OWNER_TOKEN, PROJECT, eventually};
use orchestratum_worker::Worker;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::common::Api;

enum Database {
    InMemory,
    Postgres,
}

pub(crate) struct Lab {
    pub(super) double: GitlabDouble,
    api: Api,
    http: reqwest::Client,
    _folder: TempDir,
}

/// A worker that does what is to be done in GitLab.
pub(super) struct Working(CancellationToken);

impl Working {
    pub(super) async fn start(lab: &Lab) -> Self {
        let builder = Worker::builder(lab.engine.clone()).shim(Shim::at(env!("CARGO_BIN_EXE_orchestratum-api")));
        let worker = builder.build().await.expect("a worker");
        let stop = CancellationToken::new();
        tokio::spawn(worker.run(stop.clone(), CancellationToken::new()));
        Self(stop)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Deref for Lab {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(overrides: &[(&str, &str)]) -> Self {
        Self::start_with(OWNER_TOKEN, overrides, Database::InMemory).await
    }

    pub(super) async fn with_token(token: &str) -> Self {
        Self::start_with(token, &[], Database::InMemory).await
    }

    pub(super) async fn on_postgres() -> Self {
        Self::start_with(OWNER_TOKEN, &[], Database::Postgres).await
    }

    /// Before it has stored what it ships.
    pub(super) async fn bare() -> Self {
        Self::without_definitions(OWNER_TOKEN, &[], Database::InMemory).await
    }

    async fn start_with(token: &str, overrides: &[(&str, &str)], database: Database) -> Self {
        let lab = Self::without_definitions(token, overrides, database).await;
        lab.engine.define_shipped().await.expect("they are sound");
        lab
    }

    async fn without_definitions(token: &str, overrides: &[(&str, &str)], database: Database) -> Self {
        let double = GitlabDouble::start().expect("a GitLab");
        let settings = [
            ("gitlab.url", double.url()),
            ("gitlab.token", token),
            ("gitlab.tries", "2"),
            ("gitlab.call_timeout_seconds", "5"),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("UTF-8");
        let worker = [
            ("worker.isolation", "off"),
            ("worker.listen", ""),
            ("worker.work_dir", path),
            ("worker.csharp", "/no/such/folder"),
        ];
        let settings = [&settings, &worker, overrides].concat();
        let api = match database {
            Database::InMemory => Api::start_with(&settings).await,
            Database::Postgres => Api::on_postgres_with(&settings).await,
        };
        Self {
            api,
            _folder: folder,
            double,
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
        }
    }

    /// As the owner, past the api.
    pub(super) async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self
            .http
            .request(method, format!("{}/api/v4/{path}", self.double.url()));
        let request = request.bearer_auth(OWNER_TOKEN).json(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Somebody commits a file, on a branch that is made where there is none. Answers the commit.
    pub(crate) async fn commits(&self, branch: &str, path: &str, content: &str) -> String {
        let action = json!({"action": "create", "file_path": path, "content": content});
        self.acts(branch, &format!("Add {path}"), action).await
    }

    /// Somebody commits another content of a file that is there. Answers the commit.
    pub(super) async fn changes(&self, branch: &str, path: &str, content: &str) -> String {
        let action = json!({"action": "update", "file_path": path, "content": content});
        self.acts(branch, &format!("Change {path}"), action).await
    }

    async fn acts(&self, branch: &str, message: &str, action: Value) -> String {
        let mut body = json!({"branch": branch, "commit_message": message, "actions": [action]});
        if !self.has_branch(branch).await {
            body["start_branch"] = json!("main");
        }
        let made = self.ask(Method::POST, "projects/1/repository/commits", &body).await;
        made["id"].as_str().expect("an id").to_owned()
    }

    /// A file of JSON as it stands on a branch.
    pub(super) async fn file(&self, branch: &str, path: &str) -> Value {
        let branch = branch.replace('/', "%2F");
        let path = format!("projects/1/repository/files/{path}/raw?ref={branch}");
        self.ask(Method::GET, &path, &json!({})).await
    }

    /// Where a branch stands.
    pub(super) async fn head(&self, branch: &str) -> String {
        let path = format!("projects/1/repository/branches/{}", branch.replace('/', "%2F"));
        let found = self.ask(Method::GET, &path, &json!({})).await;
        found["commit"]["id"].as_str().expect("a commit").to_owned()
    }

    async fn has_branch(&self, branch: &str) -> bool {
        let branches = self
            .ask(Method::GET, "projects/1/repository/branches", &json!({}))
            .await;
        branches
            .as_array()
            .expect("a list")
            .iter()
            .any(|one| one["name"] == branch)
    }

    /// Somebody who does tasks of this name takes one, as soon as there is one.
    pub(super) async fn claims(&self, name: &str) -> ClaimedTask {
        let claim = || async { self.claim_one_of(&[name]).await.ok_or("none") };
        eventually("there is a task", claim).await
    }

    pub(super) async fn issue(&self, title: &str, assignee: u64) {
        let body = json!({"title": title, "assignee_ids": [assignee]});
        self.ask(Method::POST, "projects/1/issues", &body).await;
    }

    pub(super) async fn fail(&self, method: &str, path: &str, kind: FaultKind, times: u32) {
        let fault = Fault::on(method, path, kind).times(times);
        self.double.control().fail(&fault).await.expect("the double takes it");
    }

    pub(super) async fn seen(&self) -> usize {
        self.double.control().seen().await.expect("the double tells").len()
    }
}

/// What the calls of the project begin with.
pub(super) fn of_project(call: &str, more: &str) -> String {
    format!("/api/{call}?project={}{more}", PROJECT.replace('/', "%2F"))
}
