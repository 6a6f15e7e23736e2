//! `POST /api/schedules`

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use orchestratum_core::schedule::{Misfire, Overlap, ScheduleDraft};
use orchestratum_core::{JsonText, Timestamp};
use orchestratum_engine::Engine;
use orchestratum_engine::schedules::{CreateSchedule, CreatedSchedule};
use serde::Deserialize;
use utoipa::ToSchema;

use super::document::ScheduleDocument;
use crate::auth::Caller;
use crate::canonical;
use crate::extract::{IDEMPOTENT_REPLAY, IdempotencyKey, Json};
use crate::problem::{Document, Result};
use crate::routes::schema;
use crate::routes::tasks::idempotency;

/// A schedule to be created. Unknown fields are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSchedule)]
pub(crate) struct ScheduleBody {
    /// For people to find it by; two schedules may have the same.
    #[schema(min_length = 1, max_length = 200, example = "nightly totals")]
    name: String,
    /// Minute, hour, day of month, month, day of week; with six fields, the second before them. Names, lists, ranges, steps,
    /// `L`, `#` and words such as `@daily` are understood.
    #[schema(max_length = 255, example = "30 3 * * MON-FRI")]
    cron: String,
    /// Of the IANA database. Its clock is meant, with its changes in spring and autumn.
    #[serde(default)]
    #[schema(default = "UTC", example = "Europe/Berlin")]
    time_zone: Option<String>,
    #[schema(value_type = schema::ScheduledTask)]
    task: JsonText,
    #[serde(default)]
    #[schema(value_type = Option<schema::Overlap>, default = "skip")]
    overlap: Option<Overlap>,
    #[serde(default)]
    #[schema(value_type = Option<schema::Misfire>, default = "fire_once")]
    misfire: Option<Misfire>,
    /// No slot before it.
    #[serde(default)]
    #[schema(value_type = Option<schema::Time>)]
    start_at: Option<Timestamp>,
    /// No slot from then on.
    #[serde(default)]
    #[schema(value_type = Option<schema::Time>)]
    end_at: Option<Timestamp>,
    /// The most that a task begins after its slot: how much that is, is drawn for each slot.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400, default = 0)]
    jitter_seconds: Option<f64>,
    #[serde(default)]
    #[schema(default = false)]
    paused: Option<bool>,
}

impl ScheduleBody {
    fn into_draft(self) -> ScheduleDraft {
        ScheduleDraft {
            name: self.name,
            cron: self.cron,
            time_zone: self.time_zone.unwrap_or_else(|| "UTC".to_owned()),
            task: self.task,
            overlap: self.overlap.unwrap_or_default(),
            misfire: self.misfire.unwrap_or_default(),
            start_at: self.start_at,
            end_at: self.end_at,
            jitter_seconds: self.jitter_seconds.unwrap_or_default(),
            paused: self.paused.unwrap_or_default(),
        }
    }
}

/// Create a schedule
///
/// From its next slot on it makes a task for each, at most one for a slot however many servers run. Repeat a request whose
/// answer got lost with the same `Idempotency-Key`: it makes no second schedule.
#[utoipa::path(
    post, path = "/api/schedules", tag = "schedules", operation_id = "create_schedule",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; kept 7 days")),
    request_body(content = ScheduleBody, examples(
        ("nightly" = (summary = "Each working day at half past three in Berlin", value = json!({
            "name": "nightly totals", "cron": "30 3 * * MON-FRI", "time_zone": "Europe/Berlin",
            "task": {"name": "python", "input": {
                "code": "def main(input):\n    return sum(input)", "input": [1, 2, 3]
            }, "labels": {"night": "${ schedule.slot }"}, "ttl_seconds": 3600}
        }))),
        ("ticks" = (summary = "Every ten seconds, one after the other, for a while", value = json!({
            "name": "ticks", "cron": "*/10 * * * * *", "task": {"name": "echo", "input": "${ schedule.slot }"},
            "overlap": "queue", "misfire": "skip", "end_at": "2099-01-01T00:00:00Z", "jitter_seconds": 2
        }))),
    )),
    responses(
        (status = 201, description = "Stored; with `Idempotent-Replay: true` it was stored before", body = ScheduleDocument,
         headers(("Location" = String), ("ETag" = String), ("Idempotent-Replay" = Option<String>))),
        (status = 410, description = "The schedule of this `Idempotency-Key` was deleted", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(engine): State<Engine>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: body, bytes }: Json<ScheduleBody>,
) -> Result<Response> {
    let idempotency = key.map(|key| idempotency(key, canonical::hash("POST /api/schedules", &bytes)));
    let request = CreateSchedule {
        draft: body.into_draft(),
        idempotency,
        actor: Some(caller.actor()),
    };
    let (replayed, schedule) = match engine.create_schedule(request).await? {
        CreatedSchedule::Created(schedule) => (false, schedule),
        CreatedSchedule::Replayed(schedule) => (true, schedule),
    };
    let document = ScheduleDocument::from(schedule);
    let location = document.location();
    let mut response = document.answer(StatusCode::CREATED);
    response.headers_mut().insert(header::LOCATION, location);
    if replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAY, HeaderValue::from_static("true"));
    }
    Ok(response)
}
