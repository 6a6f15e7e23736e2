//! The schedule as it is answered.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestratum_core::schedule::{Misfire, Overlap, ScheduleSpec, Skip, Standing};
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{JsonText, ScheduleId, TaskId, Timestamp};
use orchestratum_store::Schedule;
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::schema;
use crate::routes::tasks::seconds;

/// A schedule: what was asked for, and how it stands. Every field is always there; what is not known is `null`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub(crate) struct ScheduleDocument {
    #[schema(value_type = Uuid)]
    id: ScheduleId,
    name: String,
    #[schema(example = "30 3 * * MON-FRI")]
    cron: String,
    #[schema(example = "Europe/Berlin")]
    time_zone: &'static str,
    #[schema(value_type = schema::ScheduledTask)]
    task: JsonText,
    #[schema(value_type = schema::Overlap)]
    overlap: Overlap,
    #[schema(value_type = schema::Misfire)]
    misfire: Misfire,
    #[schema(value_type = Option<schema::Time>)]
    start_at: Option<Timestamp>,
    #[schema(value_type = Option<schema::Time>)]
    end_at: Option<Timestamp>,
    #[serde(serialize_with = "seconds")]
    #[schema(value_type = f64, example = 0)]
    jitter_seconds: Duration,
    paused: bool,
    /// The next slot; `null` if none will come, or while it is paused.
    #[schema(value_type = Option<schema::Time>)]
    next_at: Option<Timestamp>,
    /// Slots that run once the task before them is over.
    #[schema(value_type = Vec<schema::Time>)]
    waiting: Vec<Timestamp>,
    /// The newest slot that was dealt with: it became a task, or `last_skip` tells why not.
    #[schema(value_type = Option<schema::Time>)]
    last_slot: Option<Timestamp>,
    /// The newest task it made, by a slot or a trigger, if that is still there.
    #[schema(value_type = Option<Uuid>)]
    last_task_id: Option<TaskId>,
    #[schema(value_type = Option<schema::Status>)]
    last_task_status: Option<TaskStatus>,
    last_skip: Option<SkipDocument>,
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
    /// When a caller changed it last.
    #[schema(value_type = schema::Time)]
    updated_at: Timestamp,
    /// Changed with every change by a caller; the `ETag`. What becomes of its slots does not change it.
    version: u32,
}

/// The newest slot that has no task, and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SkippedSlot)]
pub(crate) struct SkipDocument {
    #[schema(value_type = schema::Time)]
    slot: Timestamp,
    #[schema(value_type = schema::SkipReason)]
    reason: &'static str,
    /// What stands against the task, where it could not be made.
    detail: Option<String>,
}

impl From<Schedule> for ScheduleDocument {
    fn from(schedule: Schedule) -> Self {
        let Schedule {
            id,
            spec,
            standing,
            created_at,
            updated_at,
            version,
            last_task,
        } = schedule;
        let ScheduleSpec {
            name,
            cron,
            task,
            overlap,
            misfire,
            start_at,
            end_at,
            jitter,
            paused,
        } = spec;
        let Standing {
            next_slot,
            waiting,
            wake_at: _,
            last_slot,
            last_skip,
        } = standing;
        Self {
            id,
            name,
            cron: cron.text().to_owned(),
            time_zone: cron.zone(),
            task,
            overlap,
            misfire,
            start_at,
            end_at,
            jitter_seconds: jitter,
            paused,
            next_at: next_slot,
            waiting,
            last_slot,
            last_task_id: last_task.map(|task| task.id),
            last_task_status: last_task.map(|task| task.status),
            last_skip: last_skip.map(|Skip { slot, reason, detail }| SkipDocument {
                slot,
                reason: reason.as_str(),
                detail,
            }),
            created_at,
            updated_at,
            version,
        }
    }
}

impl ScheduleDocument {
    /// The answer to a call on one schedule.
    pub(super) fn answer(self, status: StatusCode) -> Response {
        let etag = HeaderValue::from_str(&format!("\"{}\"", self.version)).expect("digits are visible ASCII");
        (status, [(header::ETAG, etag)], Json(self)).into_response()
    }

    pub(super) fn location(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("/api/schedules/{}", self.id)).expect("a UUID is visible ASCII")
    }
}
