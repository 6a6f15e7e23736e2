//! `GET /api/groups/{id}/tasks`

use axum::Json;
use axum::extract::State;
use orchestratum_engine::Engine;
use orchestratum_store::MemberSearch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::{GroupPath, Parameters};
use crate::problem::{Document, Result};
use crate::routes::schema;
use crate::routes::tasks::TaskDocument;

/// A page of the members of a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MemberPage)]
pub(crate) struct Members {
    /// By their `group_index`. Fewer than `limit` if they are large; it is the end only if `next_cursor` is `null`.
    items: Vec<TaskDocument>,
    /// Give it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
}

/// List the members of a group, in their order
#[utoipa::path(
    get, path = "/api/groups/{id}/tasks", tag = "groups", operation_id = "list_group_tasks",
    params(
        ("id" = uuid::Uuid, Path, description = "The group"),
        ("status" = Option<schema::Status>, Query),
        ("limit" = Option<u16>, Query, description = "1 to 200; 50 if not given", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Members),
        (status = 404, description = "No such group", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn members(
    State(engine): State<Engine>,
    GroupPath(group): GroupPath,
    mut parameters: Parameters,
) -> Result<Json<Members>> {
    let search = MemberSearch {
        group,
        status: parameters.take_strict("status")?,
        limit: parameters.take_limit()?,
        after: parameters.take("cursor", "must be the next_cursor of a page")?,
    };
    parameters.finish(&["status", "limit", "cursor"])?;
    let page = engine.members(&search).await?;
    Ok(Json(Members {
        items: page.items.into_iter().map(TaskDocument::from).collect(),
        next_cursor: page.next.map(|index| index.to_string()),
    }))
}
