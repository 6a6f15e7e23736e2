//! The answer of `GET /api/tasks/{id}/logs` that goes on while the task writes: server-sent events.

use std::convert::Infallible;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt};
use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_engine::tasks::{Followed, LogFollower, LogsEnd};
use orchestratum_store::StoredLogChunk;
use serde::Serialize;

use crate::extract::event_id;
use crate::routes::stream::{COME_AGAIN_AFTER, HEARTBEAT_EVERY, event};

pub(super) const EVENT_STREAM: &str = "text/event-stream";

#[derive(Debug, Serialize)]
struct Log<'a> {
    attempt: u32,
    stream: &'static str,
    text: &'a str,
}

#[derive(Debug, Serialize)]
struct End {
    status: Option<&'static str>,
    attempt: Option<u32>,
    outcome: Option<&'static str>,
}

enum Told {
    Log(StoredLogChunk),
    End(LogsEnd),
}

pub(super) fn follow(follower: LogFollower) -> Response {
    let retry = Event::default().retry(COME_AGAIN_AFTER);
    let events = stream::iter([retry]).chain(told(follower).map(|told| match told {
        Told::Log(chunk) => log(&chunk),
        Told::End(how) => end(how),
    }));
    let heartbeat = KeepAlive::new().interval(HEARTBEAT_EVERY);
    Sse::new(events.map(Ok::<_, Infallible>))
        .keep_alive(heartbeat)
        .into_response()
}

/// What comes next is read when the client has taken what was read before.
fn told(follower: LogFollower) -> impl Stream<Item = Told> {
    let batches = stream::unfold(follower, async |mut follower| {
        let batch: Vec<Told> = match follower.next().await? {
            Followed::Wrote(chunks) => chunks.into_iter().map(Told::Log).collect(),
            Followed::Over(how) => vec![Told::End(how)],
        };
        Some((batch, follower))
    });
    batches.flat_map(stream::iter)
}

fn log(stored: &StoredLogChunk) -> Event {
    let StoredLogChunk { attempt, chunk } = stored;
    let data = Log {
        attempt: *attempt,
        stream: chunk.stream.as_str(),
        text: &chunk.text,
    };
    event("log", &data).id(event_id(*attempt, chunk.sequence))
}

fn end(end: LogsEnd) -> Event {
    let data = End {
        status: end.status.map(TaskStatus::as_str),
        attempt: end.attempt,
        outcome: end.outcome.map(AttemptOutcome::as_str),
    };
    event("end", &data)
}
