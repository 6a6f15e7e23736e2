//! `GET /api/tasks/{id}/logs`

use std::num::NonZeroU32;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use orchestratum_engine::Engine;
use orchestratum_store::LogStream;

use crate::extract::{Parameters, TaskPath};
use crate::problem::{Code, Document, Problem, Result};

const EARLIER_LEFT_OUT: &str = "[... earlier attempts left out; ask for each with ?attempt= ...]\n";

/// What a task wrote
///
/// Standard output and standard error of its attempts, each with its size capped; a cut in the middle is marked. Beyond
/// 8 MiB only the newest attempts are shown, and the first line says so: ask for each of the others with `attempt`.
#[utoipa::path(
    get, path = "/api/tasks/{id}/logs", tag = "tasks", operation_id = "read_logs",
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("attempt" = Option<u32>, Query, description = "Only of this attempt", minimum = 1),
        ("stream" = Option<String>, Query, description = "`stdout` or `stderr`; both if not given"),
    ),
    responses(
        (status = 200, description = "The text; empty if nothing was written", body = String, content_type = "text/plain"),
        (status = 404, description = "No such task, or no such attempt", body = Document, content_type = "application/problem+json"),
        (status = 406, description = "Following is not available yet", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn logs(
    State(engine): State<Engine>,
    TaskPath(task): TaskPath,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.trim_start().starts_with("text/event-stream")) {
        return Err(Problem::new(
            Code::NotAcceptable,
            "following logs is not available in this version; ask for text/plain",
        ));
    }
    let attempt = parameters.take::<NonZeroU32>("attempt", "must be the number of an attempt, from 1")?;
    let stream = match parameters.take::<String>("stream", "")?.as_deref() {
        None => None,
        Some("stdout") => Some(LogStream::Stdout),
        Some("stderr") => Some(LogStream::Stderr),
        Some(other) => {
            let message = format!("must be stdout or stderr, not {other:?}");
            return Err(Problem::broken(Code::InvalidQuery, "/stream", message));
        }
    };
    parameters.finish(&["attempt", "stream"])?;
    let logs = engine.logs(task, attempt, stream).await?;
    let mark = if logs.earlier_left_out { EARLIER_LEFT_OUT } else { "" };
    let texts = logs.chunks.iter().map(|stored| stored.chunk.text.as_str());
    let text: String = std::iter::once(mark).chain(texts).collect();
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
