//! `PATCH /api/schedules/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use orchestratum_core::schedule::{Misfire, Overlap, SchedulePatch};
use orchestratum_core::{JsonText, Timestamp};
use orchestratum_engine::{Engine, Error};
use serde::Deserialize;
use utoipa::ToSchema;

use super::document::ScheduleDocument;
use crate::auth::Caller;
use crate::extract::{IfMatch, Json, SchedulePath};
use crate::problem::{Document, Result};
use crate::routes::schema;
use crate::routes::tasks::given;

/// A merge patch (RFC 7396): what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SchedulePatch)]
#[expect(clippy::option_option, reason = "absent and null are two things in a merge patch")]
pub(crate) struct SchedulePatchBody {
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(max_length = 255)]
    cron: Option<String>,
    #[serde(default, deserialize_with = "given")]
    time_zone: Option<String>,
    /// Replaced as a whole, not merged: it is carried byte for byte.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schema::ScheduledTask>)]
    task: Option<JsonText>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schema::Overlap>)]
    overlap: Option<Overlap>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schema::Misfire>)]
    misfire: Option<Misfire>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schema::Time>)]
    start_at: Option<Option<Timestamp>>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schema::Time>)]
    end_at: Option<Option<Timestamp>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(minimum = 0, maximum = 86_400)]
    jitter_seconds: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    paused: Option<bool>,
}

/// Change a schedule
///
/// `{"paused": true}` pauses it and `{"paused": false}` resumes it with the slots that lie ahead. With other times, too, it
/// goes on with the next slot from now, and what waited is dropped. What is so already is not written, and the `ETag` stays.
/// With `If-Match` the change is made only if the schedule still has that `ETag`.
#[utoipa::path(
    patch, path = "/api/schedules/{id}", tag = "schedules", operation_id = "patch_schedule",
    params(
        ("id" = uuid::Uuid, Path, description = "The schedule"),
        ("If-Match" = Option<String>, Header, description = "An `ETag` of the schedule"),
    ),
    request_body(
        content((SchedulePatchBody = "application/json", example = json!({"paused": true})),
                (SchedulePatchBody = "application/merge-patch+json", example = json!({"cron": "0 4 * * *", "end_at": null}))),
    ),
    responses(
        (status = 200, description = "The schedule as it is now", body = ScheduleDocument, headers(("ETag" = String))),
        (status = 404, description = "No such schedule", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "`If-Match` names another version", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn patch(
    State(engine): State<Engine>,
    caller: Caller,
    SchedulePath(schedule): SchedulePath,
    if_match: IfMatch,
    Json { value: body, .. }: Json<SchedulePatchBody>,
) -> Result<Response> {
    let expected_version = match if_match {
        IfMatch::Any => None,
        IfMatch::Versions(allowed) => {
            let current = engine.schedule(schedule).await?.version;
            if !allowed.contains(&u64::from(current)) {
                return Err(Error::ScheduleVersionMismatch { schedule, current }.into());
            }
            Some(current)
        }
    };
    let changed = engine
        .change_schedule(schedule, &body.into_patch(), expected_version, Some(caller.actor()))
        .await?;
    Ok(ScheduleDocument::from(changed).answer(StatusCode::OK))
}

impl SchedulePatchBody {
    fn into_patch(self) -> SchedulePatch {
        let Self {
            name,
            cron,
            time_zone,
            task,
            overlap,
            misfire,
            start_at,
            end_at,
            jitter_seconds,
            paused,
        } = self;
        SchedulePatch {
            name,
            cron,
            time_zone,
            task,
            overlap,
            misfire,
            start_at,
            end_at,
            jitter_seconds,
            paused,
        }
    }
}
