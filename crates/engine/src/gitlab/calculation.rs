//! One calculation, as the shipped saga `calculation` does it: a commit with its input, and one message to whoever calculates.

use std::collections::BTreeMap;
use std::time::Duration;

use orchestratum_core::gitlab::{BranchName, CommitId, FilePath, ProjectPath};
use orchestratum_core::saga::DefinitionName;
use orchestratum_core::task::CommitInput;
use orchestratum_core::{JsonText, Origin, TaskId, TaskName};
use orchestratum_store::{IdempotencyKey, Saga, SagaFilter, TaskFilter};
use serde::Serialize;
use serde_json::json;

use super::balance::{Delivery, broken};
use super::consistency::named;
use super::shipped;
use crate::sagas::{StartSaga, StartedSaga};
use crate::{Engine, Error};

const FILES_NAMED_MAX: usize = 100;
const NAME_MAX_BYTES: usize = 255;

#[derive(Debug, Clone)]
pub struct Calculate {
    pub project: ProjectPath,
    pub branch: BranchName,
    /// A task of a Celery application, or a queue.
    pub name: String,
    /// What is committed first; none: what stands on the branch is calculated.
    pub files: BTreeMap<String, JsonText>,
    pub input_files: Vec<FilePath>,
    pub output_file: FilePath,
    pub delivery: Delivery,
    /// Named in the message of the commit.
    pub issue_iid: Option<u64>,
    /// The same calculation, unless an idempotency key is given.
    pub correlation_id: String,
    pub idempotency: Option<IdempotencyKey>,
    pub origin: Origin,
    pub actor: Option<String>,
}

/// A calculation that was begun, and its request.
#[derive(Debug, Clone)]
pub struct BegunCalculation {
    pub saga: Saga,
    /// Whether it was begun by an earlier call.
    pub replayed: bool,
    delivery: Delivery,
}

/// A calculation that is on its way.
#[derive(Debug, Clone)]
pub struct Calculating {
    pub saga: Saga,
    /// Which carries the message; `None`: not yet.
    pub task: Option<TaskId>,
    /// What is to be calculated; `None`: not yet.
    pub commit: Option<CommitId>,
    pub replayed: bool,
}

/// A calculation of which GitLab has told what is to be known before, or that is there already.
#[derive(Debug, Clone)]
pub struct ToCalculate {
    found: Found,
    delivery: Delivery,
    actor: Option<String>,
}

#[derive(Debug, Clone)]
enum Found {
    There(Box<Saga>),
    ToStart(Box<StartSaga>),
}

impl Engine {
    /// Finds the calculation of the same request; where there is none, looks at its project.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::IdempotencyKeyReused`], [`Error::GitlabNotConfigured`], [`Error::Gitlab`] where there is no such
    /// project, and where GitLab does not answer within 10 seconds.
    pub async fn look_at_calculation(&self, request: Calculate) -> Result<ToCalculate, Error> {
        self.check_gitlab()?;
        let message = request.checked_message()?;
        let (delivery, actor) = (request.delivery, request.actor.clone());
        let found = match self.calculation_of(&request).await? {
            Some(saga) => Found::There(Box::new(saga)),
            None => Found::ToStart(Box::new(self.calculation_to_start(request, &message).await?)),
        };
        Ok(ToCalculate { found, delivery, actor })
    }

    /// Starts a calculation, or takes that which was found again if GitLab stopped it. [`until_sent`](Self::until_sent) waits for its
    /// message.
    pub async fn calculate(
        &self,
        ToCalculate { found, delivery, actor }: ToCalculate,
    ) -> Result<BegunCalculation, Error> {
        let (saga, replayed) = match found {
            Found::There(saga) => (*saga, true),
            Found::ToStart(start) => match self.start_saga(*start).await? {
                StartedSaga::New(saga) => (saga, false),
                StartedSaga::Existing(saga) | StartedSaga::Replayed(saga) => (saga, true),
            },
        };
        if replayed {
            self.take_again(&saga, actor).await?;
        }
        Ok(BegunCalculation {
            saga,
            replayed,
            delivery,
        })
    }

    /// The saga with the task that carries its message, when that is on its way, cannot be any more, or `patience` is over.
    ///
    /// # Errors
    /// [`Error::SagaRefusedByGitlab`] and [`Error::SagaStuck`] where it cannot go on.
    pub async fn until_sent(&self, begun: BegunCalculation, patience: Duration) -> Result<Calculating, Error> {
        let carries = TaskFilter {
            saga_id: Some(begun.saga.id),
            name: Some(TaskName::new(begun.delivery.task()).expect("a name")),
            ..TaskFilter::default()
        };
        let (saga, task) = self.until(begun.saga, Some(&carries), patience).await?;
        let commit = task.and(named(&saga, "commit").ok());
        Ok(Calculating {
            saga,
            task,
            commit,
            replayed: begun.replayed,
        })
    }

    /// That of its key, or of its body.
    async fn calculation_of(&self, request: &Calculate) -> Result<Option<Saga>, Error> {
        if let Some(key) = &request.idempotency {
            return self.saga_of_key(key).await;
        }
        let filter = SagaFilter {
            definition: Some(definition()),
            correlation_id: Some(request.correlation_id.clone()),
            ..SagaFilter::default()
        };
        Ok(self.sagas(&filter, None, 1).await?.items.pop())
    }

    async fn calculation_to_start(&self, request: Calculate, message: &str) -> Result<StartSaga, Error> {
        let call = self.gitlab()?;
        let client = call.for_a_look();
        let project = client.get_project(&request.project).await?;
        // Nothing is begun where there is no such branch.
        let branch = client.get_branch(&request.project, &request.branch).await?;
        // Without a commit of its own it calculates what stands there now.
        let commit = request.files.is_empty().then_some(branch.commit.id);
        let input = JsonText::of(&CalculationInput {
            project: &request.project,
            repo_url: &project.http_url_to_repo,
            branch: &request.branch,
            name: &request.name,
            delivery: request.delivery,
            files: &request.files,
            message,
            input_files: &request.input_files,
            output_file: &request.output_file,
            commit,
            alone: true,
        });
        let input = input.map_err(|invalid| broken("", invalid.to_string()))?;
        Ok(StartSaga {
            definition: definition(),
            version: None,
            correlation_id: request.idempotency.is_none().then_some(request.correlation_id),
            input: self.checked_json("/files", Some(input))?,
            origin: request.origin,
            actor: request.actor,
            idempotency: request.idempotency,
        })
    }
}

#[derive(Serialize)]
struct CalculationInput<'a> {
    project: &'a ProjectPath,
    repo_url: &'a str,
    branch: &'a BranchName,
    name: &'a str,
    delivery: Delivery,
    files: &'a BTreeMap<String, JsonText>,
    message: &'a str,
    input_files: &'a [FilePath],
    output_file: &'a FilePath,
    commit: Option<CommitId>,
    /// It is nobody's part: it fails where others have moved the branch before it was calculated.
    alone: bool,
}

impl Calculate {
    /// The message of the commit, after all has been checked that a task would refuse later.
    fn checked_message(&self) -> Result<String, Error> {
        let is_name = |text: &str| (1..=NAME_MAX_BYTES).contains(&text.len()) && !text.contains(char::is_control);
        if !is_name(&self.name) {
            let rule = format!("must have 1 to {NAME_MAX_BYTES} bytes, and no control characters");
            return Err(broken("/name", rule));
        }
        if self.input_files.len() > FILES_NAMED_MAX {
            return Err(broken(
                "/input_files",
                format!("must not have more than {FILES_NAMED_MAX}"),
            ));
        }
        let message = match self.issue_iid {
            Some(iid) => format!("Prepare {} for #{iid}", self.name),
            None => format!("Prepare {}", self.name),
        };
        if !self.files.is_empty() {
            let commit =
                json!({"project": self.project, "branch": self.branch, "message": message, "files": self.files});
            CommitInput::read(&commit.to_string()).map_err(Error::Invalid)?;
        }
        Ok(message)
    }
}

impl Delivery {
    /// Which task carries a message so.
    const fn task(self) -> &'static str {
        match self {
            Self::Celery => "celery",
            Self::Amqp => "amqp",
        }
    }
}

fn definition() -> DefinitionName {
    DefinitionName::new(shipped::CALCULATION).expect("a name")
}
