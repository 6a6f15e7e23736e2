//! The parts of a path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use orchestratum_core::{GroupId, ScheduleId, Target, TaskId};
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
        let Path((task, attempt)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::new(Code::InvalidPath, "the path must be percent-encoded UTF-8"))?;
        let number = attempt.parse().ok();
        Ok(Self {
            task: task_id(&task)?,
            attempt: number.ok_or_else(|| {
                Problem::new(
                    Code::InvalidPath,
                    format!("an attempt is a whole number, not {attempt:?}"),
                )
            })?,
        })
    }
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
