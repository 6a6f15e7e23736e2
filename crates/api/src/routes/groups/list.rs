//! `GET /api/groups`

use axum::Json;
use axum::extract::State;
use orchestratum_core::GroupId;
use orchestratum_engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::document::GroupDocument;
use crate::extract::Parameters;
use crate::problem::Result;
use crate::routes::schema;

/// A page of groups.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupPage)]
pub(crate) struct Page {
    /// Newest first. Fewer than `limit` if they are large; it is the end only if `next_cursor` is `null`.
    items: Vec<GroupDocument>,
    /// Give it as `cursor` to go on; `null` at the end.
    next_cursor: Option<String>,
}

/// List groups, newest first
#[utoipa::path(
    get, path = "/api/groups", tag = "groups", operation_id = "list_groups",
    params(
        ("status" = Option<schema::GroupStatus>, Query),
        ("limit" = Option<u16>, Query, description = "1 to 200; 50 if not given", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Page))
)]
pub(crate) async fn list(State(engine): State<Engine>, mut parameters: Parameters) -> Result<Json<Page>> {
    let status = parameters.take_strict("status")?;
    let limit = parameters.take_limit()?;
    let before = parameters
        .take::<Uuid>("cursor", "must be the next_cursor of a page")?
        .map(GroupId);
    parameters.finish(&["status", "limit", "cursor"])?;
    let page = engine.groups(status, before, limit).await?;
    Ok(Json(Page {
        items: page.items.into_iter().map(GroupDocument::from).collect(),
        next_cursor: page.next.map(|group| group.to_string()),
    }))
}
