//! `GET /api/sagas/{id}/consistency`

use axum::Json;
use axum::extract::State;
use orchestratum_core::SagaId;
use orchestratum_core::gitlab::{BranchName, CommitId, ProjectPath, StepId};
use orchestratum_engine::Engine;
use orchestratum_engine::gitlab::{CommitSince, Consistency};
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::{Parameters, SagaPath};
use crate::problem::{Document, Result};

/// Whether a branch stands where a saga expects it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaConsistency)]
pub(crate) struct ConsistencyDocument {
    #[schema(value_type = uuid::Uuid)]
    saga_id: SagaId,
    #[schema(value_type = String, example = "grp/proj")]
    project: ProjectPath,
    #[schema(value_type = String, example = "issue/42")]
    branch: BranchName,
    /// `commit` of its context.
    #[schema(value_type = String, example = "0f3a1c5e9b7d2468ace013579bdf02468ace1357")]
    expected_commit: CommitId,
    /// Where the branch stands.
    #[schema(value_type = String, example = "0f3a1c5e9b7d2468ace013579bdf02468ace1357")]
    found_commit: CommitId,
    is_consistent: bool,
    /// Those since the expected one, newest first, 100 at most. Where the branch was rewritten and has no such commit, all that it has.
    commits: Vec<CommitSinceDocument>,
    /// Whether there are more of them.
    has_more: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CommitSince)]
pub(crate) struct CommitSinceDocument {
    #[schema(value_type = String, example = "0f3a1c5e9b7d2468ace013579bdf02468ace1357")]
    id: CommitId,
    title: String,
    /// The step that has made it; `null`: somebody else.
    #[schema(value_type = Option<String>)]
    step: Option<StepId>,
}

impl From<CommitSince> for CommitSinceDocument {
    fn from(CommitSince { id, title, step }: CommitSince) -> Self {
        Self { id, title, step }
    }
}

impl From<Consistency> for ConsistencyDocument {
    fn from(consistency: Consistency) -> Self {
        Self {
            is_consistent: consistency.is_consistent(),
            saga_id: consistency.saga,
            project: consistency.project,
            branch: consistency.branch,
            expected_commit: consistency.expected,
            found_commit: consistency.found,
            commits: consistency.commits.into_iter().map(CommitSinceDocument::from).collect(),
            has_more: consistency.has_more,
        }
    }
}

/// Compare a saga with GitLab
///
/// Whether the branch stands where the saga expects it, by the texts `project`, `branch` and `commit` of its context, and who was there
/// since. A saga without them is 409.
#[utoipa::path(
    get, path = "/api/sagas/{id}/consistency", tag = "gitlab", operation_id = "compare_saga",
    params(("id" = uuid::Uuid, Path, description = "The saga")),
    responses(
        (status = 200, description = "Where it stands", body = ConsistencyDocument),
        (status = 404, description = "No such saga; or GitLab has no such branch", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "Its context names no branch and commit", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "GitLab is not available, or none is named", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn consistency(
    State(engine): State<Engine>,
    SagaPath(saga): SagaPath,
    parameters: Parameters,
) -> Result<Json<ConsistencyDocument>> {
    parameters.finish(&[])?;
    Ok(Json(engine.saga_consistency(saga).await?.into()))
}
