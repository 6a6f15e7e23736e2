//! The calculation "balance" of an issue, as the shipped saga `calculate-balance` does it.

use orchestratum_core::gitlab::{BranchName, ProjectPath};
use orchestratum_core::saga::{DefinitionName, SagaStatus};
use orchestratum_core::task::Violations;
use orchestratum_core::{JsonText, Origin};
use orchestratum_gitlab::Project;
use orchestratum_store::Saga;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::series::Series;
use super::shipped;
use crate::sagas::{StartSaga, StartedSaga};
use crate::{Engine, Error};

const DEPENDENCIES_MAX: usize = 20;
const DEPENDENCY_MAX_CHARACTERS: usize = 50;

/// Its files are those of the whole.
const BALANCE: &str = "balance";

/// How whoever calculates is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// As a task of a Celery application.
    #[default]
    Celery,
    /// As a message in a queue of RabbitMQ.
    Amqp,
}

/// What becomes of a calculation on whose branch somebody else has been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDrift {
    /// It begins anew with what stands there.
    #[default]
    RebaseInputs,
    /// It ends as failed.
    Stop,
}

#[derive(Debug, Clone)]
pub struct CalculateBalance {
    pub project: ProjectPath,
    pub issue_iid: u64,
    /// `None`: `issue/` and the number of the issue.
    pub branch: Option<BranchName>,
    /// `None`: the default branch of the project.
    pub target_branch: Option<BranchName>,
    /// `None`: the condenser alone.
    pub dependencies: Option<Vec<String>>,
    /// `None`: over Celery.
    pub delivery: Option<Delivery>,
    /// `None`: it begins anew.
    pub on_drift: Option<OnDrift>,
    pub origin: Origin,
    pub actor: Option<String>,
}

/// A balance of which GitLab has told what is to be known before.
#[derive(Debug, Clone)]
pub struct BalanceToCalculate {
    series: Series,
    asked: Asked,
    /// If none is live; its correlation id is that of the next one.
    start: StartSaga,
}

/// How a balance is to be calculated, as far as the call says it.
#[derive(Debug, Clone, Serialize)]
struct Asked {
    #[serde(skip_serializing_if = "Option::is_none")]
    target_branch: Option<BranchName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dependencies: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Delivery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_drift: Option<OnDrift>,
}

impl Engine {
    /// Looks at the project: a balance is one of its issue and branch by whatever name the project is called.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::GitlabNotConfigured`], [`Error::Gitlab`] where there is no such project, or no such target branch for
    /// a new one, and where GitLab does not answer within 10 seconds.
    pub async fn look_at_balance(&self, request: CalculateBalance) -> Result<BalanceToCalculate, Error> {
        let branch = request.branch()?;
        let dependencies = request.dependencies()?;
        let asked = request.asked();
        let call = self.gitlab()?;
        let client = call.for_a_look();
        let project = client.get_project(&request.project).await?;
        let is_named = request.target_branch.is_some();
        let target = target(request.target_branch, &branch, &project)?;
        let series = Series::new(definition(), format!("{}:{branch}:{}", project.id, request.issue_iid));
        if is_named && !self.is_live(&series).await? {
            // What is begun for a branch that is not there could only be cancelled.
            client.get_branch(&request.project, &target).await?;
        }
        drop(call);
        let input = json!({
            "project": request.project,
            "repo_url": project.http_url_to_repo,
            "issue_iid": request.issue_iid,
            "branch": branch,
            "target_branch": target,
            "dependencies": dependencies,
            "delivery": request.delivery.unwrap_or_default(),
            "on_drift": request.on_drift.unwrap_or_default(),
        });
        let start = StartSaga {
            definition: definition(),
            version: None,
            correlation_id: None,
            input: JsonText::trusted(input.to_string()),
            origin: request.origin,
            actor: request.actor,
            idempotency: None,
        };
        Ok(BalanceToCalculate { series, asked, start })
    }

    /// Starts the saga of a project, branch and issue, or finds the live one, which is taken again if GitLab stopped it.
    /// [`until_told`](Self::until_told) waits for what comes of it.
    ///
    /// # Errors
    /// [`Error::BalanceBegunOtherwise`] where the live one was begun with something else than what is given.
    pub async fn calculate_balance(
        &self,
        BalanceToCalculate { series, asked, start }: BalanceToCalculate,
    ) -> Result<Saga, Error> {
        let mut last = self.last_of(&series).await?;
        loop {
            let correlation_id = match last {
                None => series.first(),
                Some(saga) if saga.instance.status().is_over() => series.after(&saga),
                Some(live) => {
                    // One that is taken back makes room for the next.
                    if !is_taken_back(&live) {
                        asked.check_begun_so(&live)?;
                    }
                    self.take_again(&live, start.actor.clone()).await?;
                    return Ok(live);
                }
            };
            let next = StartSaga {
                correlation_id: Some(correlation_id),
                ..start.clone()
            };
            match self.start_saga(next).await? {
                StartedSaga::New(saga) => return Ok(saga),
                // Of somebody who was faster: it may be over already.
                StartedSaga::Existing(saga) | StartedSaga::Replayed(saga) => last = Some(saga),
            }
        }
    }
}

impl Asked {
    /// What was asked for at the beginning counts: it may be done in part.
    fn check_begun_so(&self, live: &Saga) -> Result<(), Error> {
        let begun: Value = serde_json::from_str(live.instance.input.as_str()).unwrap_or_default();
        let asked = serde_json::to_value(self).expect("texts");
        let mut violations = Violations::default();
        for (name, asked) in asked.as_object().into_iter().flatten() {
            let begun = begun.get(name).unwrap_or(&Value::Null);
            if asked != begun {
                violations.add(format!("/{name}"), format!("is not {begun}, with which it was begun"));
            }
        }
        let otherwise = |different| Error::BalanceBegunOtherwise {
            saga: live.id,
            different,
        };
        violations.into_result().map_err(otherwise)
    }
}

impl CalculateBalance {
    fn asked(&self) -> Asked {
        Asked {
            target_branch: self.target_branch.clone(),
            dependencies: self.dependencies.clone(),
            delivery: self.delivery,
            on_drift: self.on_drift,
        }
    }

    fn branch(&self) -> Result<BranchName, Error> {
        match &self.branch {
            Some(branch) => Ok(branch.clone()),
            None => BranchName::new(format!("issue/{}", self.issue_iid))
                .map_err(|invalid| broken("/issue_iid", invalid.rule.to_owned())),
        }
    }

    fn dependencies(&self) -> Result<Vec<String>, Error> {
        let Some(given) = &self.dependencies else {
            return Ok(vec!["condenser".to_owned()]);
        };
        let mut violations = Violations::default();
        if given.len() > DEPENDENCIES_MAX {
            violations.add("/dependencies", format!("must not have more than {DEPENDENCIES_MAX}"));
        }
        for (index, name) in given.iter().enumerate().take(DEPENDENCIES_MAX) {
            if !is_dependency(name) {
                let rule = format!(
                    "must have 1 to {DEPENDENCY_MAX_CHARACTERS} characters of a-z, 0-9 and _, and begin with a letter"
                );
                violations.add(format!("/dependencies/{index}"), rule);
            } else if name == BALANCE {
                violations.add(format!("/dependencies/{index}"), "is what is calculated of them");
            } else if given[..index].contains(name) {
                violations.add(format!("/dependencies/{index}"), "stands there before");
            }
        }
        violations.into_result().map_err(Error::Invalid)?;
        Ok(given.clone())
    }
}

fn is_taken_back(saga: &Saga) -> bool {
    matches!(
        saga.instance.status(),
        SagaStatus::Compensating | SagaStatus::CompensationStuck
    )
}

fn is_dependency(name: &str) -> bool {
    name.len() <= DEPENDENCY_MAX_CHARACTERS
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn target(given: Option<BranchName>, branch: &BranchName, project: &Project) -> Result<BranchName, Error> {
    let target = match given {
        Some(target) => target,
        None => BranchName::new(project.default_branch.as_deref().unwrap_or_default()).map_err(|_| {
            let message = format!("must be given: {} has no default branch", project.path_with_namespace);
            broken("/target_branch", message)
        })?,
    };
    if target == *branch {
        let message = "must be another branch than that on which it is calculated".to_owned();
        return Err(broken("/target_branch", message));
    }
    Ok(target)
}

fn definition() -> DefinitionName {
    DefinitionName::new(shipped::CALCULATE_BALANCE).expect("a name")
}

pub(super) fn broken(pointer: &str, rule: String) -> Error {
    let mut violations = Violations::default();
    violations.add(pointer, rule);
    Error::Invalid(violations)
}
