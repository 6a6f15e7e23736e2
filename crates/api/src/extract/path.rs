//! The parts of a path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use orchestratum_core::saga::DefinitionName;
use orchestratum_core::{GroupId, SagaId, ScheduleId, Target, TaskId};
use tracing::Span;
use uuid::Uuid;

use crate::problem::{Code, Problem, Result};

/// The hyphenated form of a UUID; the other forms the parser knows are not ours.
const UUID_LENGTH: usize = 36;

/// `{id}` of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskPath(pub(crate) TaskId);

/// `{id}` of a schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SchedulePath(pub(crate) ScheduleId);

/// `{id}` and `{attempt}` of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptPath {
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
}

/// `{id}` of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupPath(pub(crate) GroupId);

/// `{id}` of a saga.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SagaPath(pub(crate) SagaId);

/// `{id}` and `{number}` of a compensation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompensationPath {
    pub(crate) saga: SagaId,
    pub(crate) number: u32,
}

/// `{id}` and `{event_id}` of what a saga has parked.
#[derive(Debug, Clone)]
pub(crate) struct ParkedPath {
    pub(crate) saga: SagaId,
    /// The id of the event, or the number of what is parked.
    pub(crate) event: String,
}

/// `{name}` of a saga definition.
#[derive(Debug, Clone)]
pub(crate) struct DefinitionPath(pub(crate) DefinitionName);

/// `{name}` and `{version}` of a saga definition.
#[derive(Debug, Clone)]
pub(crate) struct DefinitionVersionPath {
    pub(crate) name: DefinitionName,
    pub(crate) version: u32,
}

/// `{target}` of a queue.
#[derive(Debug, Clone)]
pub(crate) struct TargetPath(pub(crate) Target);

/// `{id}` of an API key.
#[derive(Debug, Clone)]
pub(crate) struct KeyPath(pub(crate) String);

async fn text<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String> {
    let Path(text) = Path::<String>::from_request_parts(parts, state)
        .await
        .map_err(|_| Problem::new(Code::InvalidPath, "the path must be percent-encoded UTF-8"))?;
    Ok(text)
}

async fn pair<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<(String, String)> {
    let Path(pair) = Path::<(String, String)>::from_request_parts(parts, state)
        .await
        .map_err(|_| Problem::new(Code::InvalidPath, "the path must be percent-encoded UTF-8"))?;
    Ok(pair)
}

impl<S: Send + Sync> FromRequestParts<S> for GroupPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = text(parts, state).await?;
        uuid(&text, "group").map(|id| Self(GroupId(id)))
    }
}

fn uuid(text: &str, of: &str) -> Result<Uuid> {
    let id = (text.len() == UUID_LENGTH)
        .then(|| Uuid::parse_str(text).ok())
        .flatten();
    id.ok_or_else(|| Problem::new(Code::InvalidPath, format!("the id of a {of} is a UUID, not {text:?}")))
}

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = text(parts, state).await?;
        task_id(&text).map(Self)
    }
}

fn task_id(text: &str) -> Result<TaskId> {
    let id = TaskId(uuid(text, "task")?);
    Span::current().record("task.id", tracing::field::display(id));
    Ok(id)
}

impl<S: Send + Sync> FromRequestParts<S> for AttemptPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let (task, attempt) = pair(parts, state).await?;
        Ok(Self {
            task: task_id(&task)?,
            attempt: whole(&attempt, "an attempt is a whole number")?,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SagaPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = text(parts, state).await?;
        saga_id(&text).map(Self)
    }
}

fn saga_id(text: &str) -> Result<SagaId> {
    let id = SagaId(uuid(text, "saga")?);
    Span::current().record("saga.id", tracing::field::display(id));
    Ok(id)
}

impl<S: Send + Sync> FromRequestParts<S> for CompensationPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let (saga, number) = pair(parts, state).await?;
        Ok(Self {
            saga: saga_id(&saga)?,
            number: whole(&number, "a compensation is a whole number")?,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ParkedPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let (saga, event) = pair(parts, state).await?;
        Ok(Self {
            saga: saga_id(&saga)?,
            event,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DefinitionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = text(parts, state).await?;
        definition_name(&text).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DefinitionVersionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let (name, version) = pair(parts, state).await?;
        Ok(Self {
            name: definition_name(&name)?,
            version: whole(&version, "a version is a whole number")?,
        })
    }
}

fn definition_name(text: &str) -> Result<DefinitionName> {
    DefinitionName::new(text).map_err(|error| {
        let detail = format!("the name of a saga definition {error}, not {text:?}");
        Problem::new(Code::InvalidPath, detail)
    })
}

fn whole(text: &str, rule: &str) -> Result<u32> {
    text.parse()
        .map_err(|_| Problem::new(Code::InvalidPath, format!("{rule}, not {text:?}")))
}

impl<S: Send + Sync> FromRequestParts<S> for SchedulePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = text(parts, state).await?;
        Ok(Self(ScheduleId(uuid(&text, "schedule")?)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TargetPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = text(parts, state).await?;
        Target::new(text.clone())
            .map(Self)
            .map_err(|error| Problem::new(Code::InvalidPath, format!("the target {error}, not {text:?}")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for KeyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = text(parts, state).await?;
        if !text.is_empty() && text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(text))
        } else {
            Err(Problem::new(
                Code::InvalidPath,
                format!("the id of an API key has letters and digits, not {text:?}"),
            ))
        }
    }
}
