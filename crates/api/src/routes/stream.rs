//! What all server-sent events of this interface have in common.

use std::time::Duration;

use axum::response::sse::Event;
use serde::Serialize;

/// A comment goes out when nothing else did for so long: proxies close what is silent, and a client that is gone without
/// a word is noticed.
pub(super) const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// How long a client should wait before it comes again.
pub(super) const COME_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Its data is JSON, because the lines of an event cannot tell how a text ends.
pub(super) fn event(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name).json_data(data);
    event.expect("texts and numbers are always JSON")
}
