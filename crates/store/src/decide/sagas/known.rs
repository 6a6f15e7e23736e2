//! What is known of the events that a saga has taken: an id is that of one event.

use std::collections::HashMap;

use orchestratum_core::saga::Event;
use serde_json::Value;

/// By their ids.
pub(crate) type KnownEvents = HashMap<String, KnownEvent>;

/// An event that was taken, or waits.
#[derive(Debug)]
pub(crate) struct KnownEvent {
    name: String,
    data: String,
}

impl KnownEvent {
    /// As its row has it.
    pub(crate) fn stored(name: Option<String>, data: Option<String>) -> Self {
        Self {
            name: name.unwrap_or_default(),
            data: data.unwrap_or_else(|| "null".to_owned()),
        }
    }

    pub(crate) fn of(event: &Event) -> Self {
        Self {
            name: event.name.to_string(),
            data: event.data.to_string(),
        }
    }

    /// Whether it is this event again: how its data are written does not matter.
    pub(crate) fn is(&self, event: &Event) -> bool {
        self.name == event.name.as_str()
            && (self.data == event.data.as_str() || is_same(&self.data, event.data.as_str()))
    }
}

fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    read(one).is_some_and(|one| Some(one) == read(other))
}
