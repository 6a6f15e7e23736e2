//! What a look did to a saga, as the history keeps it: written by the look, and read here for all who show it.

use orchestratum_core::TaskId;
use orchestratum_core::saga::{DefinitionName, EventName, Note, StateName};
use serde::{Deserialize, Serialize};

/// What is told of a look at a saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told<N = HistoryNote> {
    /// What the saga did, in its order.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<N>,
    /// The tasks that it issued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<IssuedTask>,
    /// The sagas that it started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sagas: Vec<StartedChild>,
    /// The numbers of the tasks and sagas that it cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancelled: Vec<u32>,
}

/// A note of the core as it is read again: of any event, since a program that is newer may have written it. What does not belong to
/// its `event` is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HistoryNote {
    /// `saga.transition` and others.
    pub event: String,
    /// Of a transition; `to` may be the same.
    pub from: Option<StateName>,
    pub to: Option<StateName>,
    /// The event on which a transition was made.
    pub on: Option<EventName>,
    /// Of an event.
    pub name: Option<String>,
    /// Of an event.
    pub id: Option<String>,
    /// Of a compensation, or of what is parked.
    pub number: Option<u32>,
    /// What became of a compensation.
    pub change: Option<String>,
    /// What a timer was for.
    pub timer: Option<String>,
    pub reason: Option<String>,
}

/// A task that a saga issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedTask {
    /// By which the saga knows it.
    pub number: u32,
    pub name: String,
    /// `None` if it could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// Whether it undoes something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compensation: bool,
}

/// A saga that a saga started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedChild {
    /// By which its parent knows it.
    pub number: u32,
    pub definition: DefinitionName,
    pub correlation_id: String,
}

impl<N> Default for Told<N> {
    fn default() -> Self {
        Self {
            notes: Vec::new(),
            tasks: Vec::new(),
            sagas: Vec::new(),
            cancelled: Vec::new(),
        }
    }
}

impl Told<Note> {
    pub(crate) fn written(&self) -> String {
        serde_json::to_string(self).expect("notes are always JSON")
    }
}

impl Told {
    /// Of an entry: what was refused has done nothing, and is told by the reason alone.
    pub(crate) fn read(written: &str, refusal: Option<&str>) -> Result<Self, serde_json::Error> {
        let mut told: Self = serde_json::from_str(written)?;
        if let Some(reason) = refusal {
            told.notes = vec![HistoryNote::refused(reason)];
        }
        Ok(told)
    }
}

impl HistoryNote {
    fn refused(reason: &str) -> Self {
        Self {
            event: "saga.event_rejected".to_owned(),
            reason: Some(reason.to_owned()),
            ..Self::default()
        }
    }

    /// The states and the event, if it is a transition.
    pub fn transition(&self) -> Option<(&StateName, &StateName, &EventName)> {
        Some((self.from.as_ref()?, self.to.as_ref()?, self.on.as_ref()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_look_writes_is_read_again_also_what_a_newer_program_tells() {
        let state = |name: &str| StateName::new(name).expect("a name");
        let event = EventName::new("paid").expect("a name");
        let told = Told {
            notes: vec![
                Note::Created,
                Note::Transition {
                    from: state("Paying"),
                    to: state("Paid"),
                    event: event.clone(),
                },
            ],
            cancelled: vec![7],
            ..Told::default()
        };
        let read = Told::read(&told.written(), None).expect("it is readable");
        let events: Vec<&str> = read.notes.iter().map(|note| note.event.as_str()).collect();
        assert_eq!(events, ["saga.created", "saga.transition"]);
        assert_eq!(read.notes[0].transition(), None);
        assert_eq!(
            read.notes[1].transition(),
            Some((&state("Paying"), &state("Paid"), &event))
        );
        assert_eq!((read.cancelled, read.tasks, read.sagas), (vec![7], vec![], vec![]));

        let newer = r#"{"notes": [{"event": "saga.slept", "hours": 8}], "dreams": 3}"#;
        assert_eq!(
            Told::read(newer, None).expect("it is readable").notes[0].event,
            "saga.slept"
        );
        let refused = Told::read("{}", Some("not now")).expect("it is readable");
        assert_eq!(refused.notes, [HistoryNote::refused("not now")]);
        assert!(Told::read(r#"{"notes": 5}"#, None).is_err());
    }
}
