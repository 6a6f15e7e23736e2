//! `GET /api/tasks/{id}/logs`

use std::num::NonZeroU32;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use orchestratum_engine::Engine;
use orchestratum_engine::tasks::FollowLogs;
use orchestratum_store::LogStream;

use super::follow_logs::{EVENT_STREAM, follow};
use crate::auth::Caller;
use crate::extract::{LastEventId, Parameters, TaskPath};
use crate::problem::{Code, Document, Problem, Result};

const EARLIER_LEFT_OUT: &str = "[... earlier attempts left out; ask for each with ?attempt= ...]\n";

/// What a task wrote
///
/// Standard output and standard error of its attempts, each with its size capped; a cut in the middle is marked. Of an
/// attempt that still runs it is what there is so far. Beyond 8 MiB only the newest attempts are shown, and the first line
/// says so: ask for each of the others with `attempt`.
///
/// With `Accept: text/event-stream` the answer follows the task (server-sent events): what is there, then what comes,
/// until the task is over, or the attempt that was asked for. Each event `log` has an `id` and the data `{"attempt",
/// "stream", "text"}`; the texts in their order are the log. An event `end` with `{"status", "attempt", "outcome"}` is the
/// last: all three are null if the task was deleted. A stream that ends without it goes on behind the last `id` that is
/// sent as `Last-Event-ID`: no connection lasts for more than `api.max_follow_seconds`, nor longer than its key is valid.
#[utoipa::path(
    get, path = "/api/tasks/{id}/logs", tag = "tasks", operation_id = "read_logs",
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("attempt" = Option<u32>, Query, description = "Only of this attempt", minimum = 1),
        ("stream" = Option<String>, Query, description = "`stdout` or `stderr`; both if not given"),
        ("Last-Event-ID" = Option<String>, Header, description = "Follow from behind this event"),
    ),
    responses(
        (status = 200, description = "The text, empty if nothing was written; or the events", content(
            (String = "text/plain"),
            (String = "text/event-stream"),
        )),
        (status = 404, description = "No such task, or no such attempt", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn logs(
    State(engine): State<Engine>,
    caller: Caller,
    TaskPath(task): TaskPath,
    headers: HeaderMap,
    LastEventId(from): LastEventId,
    mut parameters: Parameters,
) -> Result<Response> {
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
    if wants_events(&headers) {
        let following = FollowLogs {
            task,
            attempt,
            stream,
            from,
        };
        return Ok(follow(engine.follow_logs(caller.identity(), following).await?));
    }
    let logs = engine.logs(task, attempt, stream).await?;
    let mark = if logs.earlier_left_out { EARLIER_LEFT_OUT } else { "" };
    let texts = logs.chunks.iter().map(|stored| stored.chunk.text.as_str());
    let text: String = std::iter::once(mark).chain(texts).collect();
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// Whether the first form of those asked for that this call has is the one that follows.
fn wants_events(headers: &HeaderMap) -> bool {
    const TEXT: [&str; 3] = ["text/plain", "text/*", "*/*"];
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .find(|range| range == EVENT_STREAM || TEXT.contains(&range.as_str()))
        .is_some_and(|range| range == EVENT_STREAM)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_form_that_there_is_counts() {
        let wants = |value| {
            wants_events(&HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static(value),
            )]))
        };
        assert!(!wants_events(&HeaderMap::new()));
        for events in ["text/event-stream", "application/json, Text/Event-Stream;q=0.9, */*"] {
            assert!(wants(events), "{events}");
        }
        for text in ["*/*", "text/plain, text/event-stream", "application/json"] {
            assert!(!wants(text), "{text}");
        }
    }
}
