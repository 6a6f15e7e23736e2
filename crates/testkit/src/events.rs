//! Server-sent events, as a client reads them.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

/// How long a stream may be silent: it says something more often.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub name: String,
    pub data: Value,
}

/// An answer that goes on.
#[derive(Debug)]
pub struct Events {
    response: Response,
    unread: Vec<u8>,
}

impl Events {
    /// # Panics
    /// If the answer has no events.
    pub fn of(response: Response) -> Self {
        let kind = response.headers().get("content-type").cloned();
        assert!(
            response.status().is_success() && kind.is_some_and(|kind| kind == "text/event-stream"),
            "{response:?}"
        );
        Self {
            response,
            unread: Vec::new(),
        }
    }

    /// The next event with data; `None` when the answer has ended, or broken off.
    ///
    /// # Panics
    /// When nothing comes for half a minute, and at data that is not JSON.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("events are UTF-8");
                if let Some(event) = event(&block) {
                    return Some(event);
                }
            }
            let piece = timeout(PATIENCE, self.response.chunk()).await;
            let piece = piece.expect("the stream says something").ok().flatten()?;
            self.unread.extend_from_slice(&piece);
        }
    }

    /// All that comes until the answer ends.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let data = field("data")?;
    Some(Event {
        id: field("id").map(str::to_owned),
        name: field("event").unwrap_or("message").to_owned(),
        data: serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}")),
    })
}
