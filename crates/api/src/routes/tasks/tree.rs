//! `GET /api/tasks/{id}/tree`

use axum::Json;
use axum::extract::State;
use orchestratum_core::Timestamp;
use orchestratum_engine::Engine;
use orchestratum_engine::tasks::{Branch, Tree};
use orchestratum_store::{MissingCause, MissingFollowUp};
use serde::Serialize;
use utoipa::ToSchema;

use super::document::TaskDocument;
use crate::extract::{Parameters, TaskPath};
use crate::problem::{Document, Result};
use crate::routes::schema;

/// A task and all that followed it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskTree)]
pub(crate) struct TreeDocument {
    #[serde(flatten)]
    root: BranchDocument,
    /// Not everything is shown: `GET /api/tasks?parent_id=` lists what followed a task page by page.
    truncated: bool,
}

/// A task and what followed it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskBranch)]
pub(crate) struct BranchDocument {
    #[serde(flatten)]
    task: TaskDocument,
    /// In the order of the runs, the edges and the places in their lists.
    #[schema(no_recursion)]
    follow_ups: Vec<BranchDocument>,
    /// What should have followed it, and is no task.
    missing_follow_ups: Vec<MissingDocument>,
}

/// A follow-up that was due and is no task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MissingFollowUp)]
pub(crate) struct MissingDocument {
    /// The run of the task that it should have followed.
    run: u32,
    #[schema(value_type = schema::Edge)]
    edge: &'static str,
    /// Its place in that list, from 0.
    index: u16,
    name: String,
    /// `Failed`: an expression had no value, or what came of it broke a rule. `Deleted`: by a caller. `Met`: it is unique, and a
    /// task like it was there.
    #[schema(example = "Failed")]
    cause: &'static str,
    /// Why it failed, or what it met.
    #[schema(example = "/input/total there is no field \"total\"")]
    reason: Option<String>,
    #[schema(value_type = schema::Time)]
    since: Timestamp,
}

/// A task with all that followed it
///
/// Follow-ups that could not be made are listed as `missing_follow_ups` of the task before them. A tree shows up to 1,000 tasks,
/// 50 levels and 8 MiB of texts.
#[utoipa::path(
    get, path = "/api/tasks/{id}/tree", tag = "tasks", operation_id = "read_task_tree",
    params(("id" = uuid::Uuid, Path, description = "The task")),
    responses(
        (status = 200, description = "The task, its follow-ups, and theirs", body = TreeDocument),
        (status = 404, description = "No such task", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn tree(
    State(engine): State<Engine>,
    TaskPath(task): TaskPath,
    parameters: Parameters,
) -> Result<Json<TreeDocument>> {
    parameters.finish(&[])?;
    let Tree { root, truncated } = engine.tree(task).await?;
    Ok(Json(TreeDocument {
        root: root.into(),
        truncated,
    }))
}

impl From<Branch> for BranchDocument {
    fn from(branch: Branch) -> Self {
        Self {
            task: branch.task.into(),
            follow_ups: branch.follow_ups.into_iter().map(Self::from).collect(),
            missing_follow_ups: branch.missing.into_iter().map(MissingDocument::from).collect(),
        }
    }
}

impl From<MissingFollowUp> for MissingDocument {
    fn from(missing: MissingFollowUp) -> Self {
        let MissingFollowUp {
            parent: _,
            place,
            name,
            cause,
            reason,
            since,
        } = missing;
        Self {
            run: place.run,
            edge: place.edge.as_str(),
            index: place.index,
            name,
            cause: match cause {
                MissingCause::Unmade => "Failed",
                MissingCause::Deleted => "Deleted",
                MissingCause::Met => "Met",
            },
            reason: (!reason.is_empty()).then_some(reason),
            since,
        }
    }
}
