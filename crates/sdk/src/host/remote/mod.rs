//! A server, asked over HTTP.

mod attempt;
mod client;
mod report;
mod sagas;
mod told;
mod wishes;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_engine::identity;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::client::{Client, Failed, PATIENCE, read};
use self::wishes::Wishes;
use self::worker::RemoteWorker;
use super::{Host, Life};
use crate::builder::Options;
use crate::entry::Entry;
use crate::registry::Registry;
use crate::{CommandId, Error, Fault, Followers, MissingFollower, Orchestratum, State, Status};

pub(crate) async fn start(url: &str, key: &str, options: &Options, registry: Registry) -> Result<Orchestratum, Error> {
    let client = Client::new(url, key)?;
    let wishes = Wishes::of(options, &registry)?;
    let has_handlers = !registry.is_empty();
    knock(&client, has_handlers).await?;
    let commands: Arc<dyn Host> = Arc::new(client.clone());
    let life = if has_handlers {
        let stop = CancellationToken::new();
        let orchestratum = Orchestratum::of(Arc::clone(&commands));
        let worker = RemoteWorker::new(client, orchestratum, wishes, registry, stop.clone());
        Life::working(stop, worker.run(), None)
    } else {
        Life::idle(None)
    };
    Ok(Orchestratum::alive(commands, life))
}

/// Whether the server is there and takes the key: asked for something that it cannot have, it says so, or why it does not answer.
async fn knock(client: &Client, has_handlers: bool) -> Result<(), Error> {
    let nothing = identity::chosen_task_id().to_string();
    let answer = if has_handlers {
        let path = ["worker", "tasks", &nothing, "attempts", "1", "heartbeat"];
        client.post(&path, &json!({}), PATIENCE).await
    } else {
        client.get(&["tasks", &nothing], &[]).await
    };
    match answer {
        Ok(_) => Ok(()),
        Err(failed) if failed.has_status(StatusCode::NOT_FOUND) => Ok(()),
        // One that may push may have no need to read.
        Err(failed) if !has_handlers && failed.has_status(StatusCode::FORBIDDEN) => Ok(()),
        Err(failed) => Err(failed.into()),
    }
}

#[async_trait]
impl Host for Client {
    async fn push(&self, id: CommandId, entry: Entry) -> Result<(), Error> {
        let mut body = serde_json::to_value(&entry).map_err(|error| Error::Refused(error.to_string()))?;
        body["id"] = json!(id);
        match self.post(&["tasks"], &body, PATIENCE).await {
            Ok(_) => Ok(()),
            Err(failed) if failed.has_status(StatusCode::CONFLICT) => Err(Error::IdTaken(id)),
            Err(failed) => Err(failed.into()),
        }
    }

    async fn status(&self, id: CommandId) -> Result<Status, Error> {
        let answer = self.get(&["tasks", &id.to_string()], &[]).await;
        task(&answer.map_err(|failed| about(failed, id))?)
    }

    async fn wait(&self, id: CommandId, patience: Duration) -> Result<Status, Error> {
        let has_ended = |task: &Task| task.status.is_terminal();
        let waited = self.get_when(&["tasks", &id.to_string()], patience, has_ended).await;
        Ok(waited.map_err(|failed| about(failed, id))?.into())
    }

    async fn followers(&self, id: CommandId) -> Result<Followers, Error> {
        let answer = self.get(&["tasks", &id.to_string(), "tree"], &[]).await;
        let tree: Tree = read(&answer.map_err(|failed| about(failed, id))?)?;
        Ok(Followers {
            commands: tree.follow_ups.into_iter().map(Status::from).collect(),
            missing: tree.missing_follow_ups.into_iter().map(MissingFollower::from).collect(),
        })
    }

    async fn cancel(&self, id: CommandId) -> Result<Status, Error> {
        let path = ["tasks", &id.to_string(), "cancel"];
        let answer = self.post(&path, &json!({}), PATIENCE).await;
        let answer = answer.map_err(|failed| match about(failed, id) {
            Error::Answer { status: 409, detail } => Error::Refused(detail),
            other => other,
        });
        task(&answer?)
    }
}

/// A task as it is answered, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Task {
    id: CommandId,
    name: String,
    target: String,
    status: State,
    attempt: u32,
    retries_left: u16,
    progress: Option<f64>,
    output: Option<JsonText>,
    error: Option<Fault>,
}

#[derive(Debug, Deserialize)]
struct Tree {
    follow_ups: Vec<Task>,
    missing_follow_ups: Vec<Missing>,
}

#[derive(Debug, Deserialize)]
struct Missing {
    name: String,
    reason: Option<String>,
}

impl From<Missing> for MissingFollower {
    fn from(missing: Missing) -> Self {
        Self {
            name: missing.name,
            reason: missing.reason.unwrap_or_default(),
        }
    }
}

impl From<Task> for Status {
    fn from(task: Task) -> Self {
        // In JSON the output of a command that has nothing to say is as absent as that of one that has not ended.
        let nothing = || (task.status == State::Completed).then(JsonText::null);
        Self {
            id: task.id,
            name: task.name,
            target: task.target,
            state: task.status,
            attempt: task.attempt,
            retries_left: task.retries_left,
            progress: task.progress,
            fault: task.error,
            output: task.output.or_else(nothing),
        }
    }
}

fn task(answer: &str) -> Result<Status, Error> {
    Ok(read::<Task>(answer)?.into())
}

fn about(failed: Failed, id: CommandId) -> Error {
    if failed.has_status(StatusCode::NOT_FOUND) {
        return Error::NotFound(id);
    }
    failed.into()
}
