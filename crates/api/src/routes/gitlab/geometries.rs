//! `GET /api/geometries`

use axum::Json;
use axum::extract::State;
use orchestratum_core::gitlab::{CommitId, FilePath, Geometry};
use orchestratum_engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;

use super::required;
use crate::extract::Parameters;
use crate::problem::{Document, Result};

/// A geometry.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Geometry)]
pub(crate) struct GeometryDocument {
    #[schema(example = "diffuser-1")]
    id: String,
    #[schema(example = "Diffuser, first stage")]
    name: String,
    /// Where its file lies, from the root of the repository.
    #[schema(value_type = String, example = "geometries/diffuser-1.json")]
    file: FilePath,
}

impl From<Geometry> for GeometryDocument {
    fn from(Geometry { id, name, file }: Geometry) -> Self {
        Self { id, name, file }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Geometries)]
pub(crate) struct GeometryList {
    /// In the order of the manifest.
    items: Vec<GeometryDocument>,
    /// Where the branch stood.
    #[schema(value_type = String, example = "0f3a1c5e9b7d2468ace013579bdf02468ace1357")]
    commit: CommitId,
    /// Always `null`: the list is whole.
    next_cursor: Option<String>,
}

/// List the geometries of a project
///
/// Those of the file `geometries_manifest.json` at the root of the branch: `{"geometries": [{"id", "name", "file"}]}`. A manifest that is
/// not of that form is 422, with every fault and its place.
#[utoipa::path(
    get, path = "/api/geometries", tag = "gitlab", operation_id = "list_geometries",
    params(
        ("project" = String, Query, description = "`group/project`, or the number of a project", example = "grp/proj"),
        ("branch" = String, Query, description = "Without `refs/`", example = "main"),
    ),
    responses(
        (status = 200, description = "The geometries", body = GeometryList),
        (status = 404, description = "GitLab has no such project, branch or manifest, or the token may not see it", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "The manifest is not of that form", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "GitLab is not available, or none is named", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn geometries(State(engine): State<Engine>, mut parameters: Parameters) -> Result<Json<GeometryList>> {
    let project = required(&mut parameters, "project")?;
    let branch = required(&mut parameters, "branch")?;
    parameters.finish(&["project", "branch"])?;
    let found = engine.geometries(project, branch).await?;
    Ok(Json(GeometryList {
        items: found.geometries.into_iter().map(GeometryDocument::from).collect(),
        commit: found.commit,
        next_cursor: None,
    }))
}
