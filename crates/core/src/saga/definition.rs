//! A definition as data: what its author wrote, read and in one form.
//!
//! The same content is always the same bytes of JSON ([`Definition::canonical`]), whatever its text looked like: the version
//! of a definition is known by them. What has a default and was written out is left out again, names are sorted, and where
//! one entry may stand for a list there is the list.
//!
//! Expressions are kept as they were written. Whether they mean something, and whether names lead anywhere, is asked by
//! [`validate`](super::validate).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::names::{DefinitionName, EventName, FieldName, StateName};
use super::source;
use crate::JsonText;

/// Fields of the context and what they become: JSON whose texts may hold expressions.
pub type Fields = BTreeMap<FieldName, JsonText>;

/// A state machine that the server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Definition {
    pub name: DefinitionName,
    /// With what an instance begins, of its input.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub context: Fields,
    pub initial: StateName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    #[serde(skip_serializing_if = "is_default")]
    pub unhandled: Unhandled,
    #[serde(skip_serializing_if = "is_default")]
    pub on_compensation_failure: OnCompensationFailure,
    pub states: BTreeMap<StateName, State>,
}

impl Definition {
    /// Its one form as JSON.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("a definition is always JSON")
    }

    /// What tells its content from any other: SHA-256 of the canonical form.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.canonical()).into()
    }
}

/// From the canonical form or any other that [`source::read`] takes. Every canonical form that was stored is within the bounds here.
impl<'de> Deserialize<'de> for Definition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = JsonText::deserialize(deserializer)?;
        source::read_canonical(json.as_str()).map_err(D::Error::custom)
    }
}

/// How long an instance may live at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeout {
    pub after: Delay,
    pub target: StateName,
    /// Whether what was done is undone first.
    pub compensate: bool,
}

impl Serialize for Timeout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            after,
            target,
            compensate,
        } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("after_seconds", after)?;
        if *compensate {
            map.serialize_entry("compensate", compensate)?;
        }
        map.serialize_entry("target", target)?;
        map.end()
    }
}

/// What becomes of an event that the state does not take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unhandled {
    /// Its sender is told; of a task it is recorded.
    #[default]
    Reject,
    /// It is recorded, and its sender told nothing.
    Ignore,
    /// It waits until a state takes it.
    Defer,
}

/// What a compensation that fails for good means for those below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCompensationFailure {
    /// They wait until a person has decided.
    #[default]
    Stop,
    /// They run all the same.
    Continue,
}

/// Where an instance can stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum State {
    /// Its end: nothing leaves it, and nothing runs in it.
    Final {
        #[serde(rename = "final")]
        end: End,
        /// Of one that has failed: the field of the context that says why. Its parent is told that.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<FieldName>,
    },
    Active(Box<ActiveState>),
}

impl State {
    /// The events that it takes.
    pub fn takes(&self) -> impl Iterator<Item = &EventName> {
        let active = match self {
            Self::Final { .. } => None,
            Self::Active(state) => Some(state),
        };
        active.into_iter().flat_map(|state| state.on.keys())
    }
}

/// How an instance ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Completed,
    Failed,
}

/// `true` or `"failed"`.
impl Serialize for End {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Completed => serializer.serialize_bool(true),
            Self::Failed => serializer.serialize_str("failed"),
        }
    }
}

/// A state that is no end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ActiveState {
    /// What it does on events.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub on: BTreeMap<EventName, Candidates>,
    /// What it does when it has lasted so long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Delayed>,
    /// What it does at once, if a guard holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<Candidate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub await_input: Option<AwaitInput>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_entry: Vec<Action>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_exit: Vec<Action>,
}

/// Transitions of one event, of which the first whose guard holds is taken. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Candidates(Vec<Candidate>);

impl Candidates {
    /// `None` of an empty list: an event that is listed and does nothing would look as if it did.
    pub fn new(candidates: Vec<Candidate>) -> Option<Self> {
        (!candidates.is_empty()).then_some(Self(candidates))
    }

    pub fn as_slice(&self) -> &[Candidate] {
        &self.0
    }
}

/// A transition that may be taken. In this order its expressions see what it changes: `set`, all of it at once, then
/// `compensation`, then the tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The source of the expression that must hold.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: Fields,
    /// What undoes it, pushed when it commits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compensation: Vec<TaskBody>,
    #[serde(flatten)]
    pub course: Course,
}

/// Where a transition goes. One that undoes what was done starts nothing new, and has somewhere to go afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    Forward {
        tasks: Vec<Action>,
        /// `None`: the state is not left, its timers go on. The state itself: it is left and entered again.
        target: Option<StateName>,
    },
    Compensate {
        target: StateName,
    },
}

impl Course {
    /// The state that is entered.
    pub const fn target(&self) -> Option<&StateName> {
        match self {
            Self::Forward { target, .. } => target.as_ref(),
            Self::Compensate { target } => Some(target),
        }
    }

    /// What is started.
    pub fn tasks(&self) -> &[Action] {
        match self {
            Self::Forward { tasks, .. } => tasks,
            Self::Compensate { .. } => &[],
        }
    }

    pub const fn compensates(&self) -> bool {
        match self {
            Self::Forward { .. } => false,
            Self::Compensate { .. } => true,
        }
    }
}

impl Serialize for Course {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Forward { tasks, target } => {
                if !tasks.is_empty() {
                    map.serialize_entry("tasks", tasks)?;
                }
                if let Some(target) = target {
                    map.serialize_entry("target", target)?;
                }
            }
            Self::Compensate { target } => {
                map.serialize_entry("compensate", &true)?;
                map.serialize_entry("target", target)?;
            }
        }
        map.end()
    }
}

/// A transition that time takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delayed {
    #[serde(rename = "seconds")]
    pub delay: Delay,
    #[serde(flatten)]
    pub candidate: Candidate,
}

/// A person, or a service, must answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AwaitInput {
    /// What the answer raises.
    pub event: EventName,
    /// What is asked, with expressions over context, input and saga.
    pub prompt: String,
    /// The JSON Schema of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<JsonText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reminders: Vec<Reminder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_after: Option<DefaultAnswer>,
}

/// What is raised while the answer is still awaited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reminder {
    #[serde(rename = "seconds")]
    pub delay: Delay,
    pub event: EventName,
}

/// The answer where none has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefaultAnswer {
    #[serde(rename = "seconds")]
    pub delay: Delay,
    pub data: JsonText,
}

/// What a transition, an entry or an exit starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Action {
    Task(TaskAction),
    Saga(ChildSaga),
}

impl Action {
    /// The name of the task, or of the definition of the child.
    pub fn name(&self) -> String {
        match self {
            Self::Task(task) => task.body.name().unwrap_or_default(),
            Self::Saga(child) => child.saga.to_string(),
        }
    }

    /// What undoes it.
    pub fn compensation(&self) -> &[TaskBody] {
        match self {
            Self::Task(task) => &task.compensation,
            Self::Saga(child) => &child.compensation,
        }
    }

    /// Every event that its end may raise.
    pub fn events(&self) -> Vec<&EventName> {
        match self {
            Self::Task(TaskAction {
                reach: Reach::Once { raises },
                ..
            })
            | Self::Saga(ChildSaga { raises, .. }) => raises.all().collect(),
            Self::Task(TaskAction {
                reach: Reach::ForEach { join, raises, .. },
                ..
            }) => std::iter::once(&join.raises).chain(raises.events()).collect(),
        }
    }

    /// What it raises if it does not succeed.
    pub const fn otherwise(&self) -> &FailureEvents {
        match self {
            Self::Task(task) => match &task.reach {
                Reach::Once { raises } => &raises.otherwise,
                Reach::ForEach { raises, .. } => raises,
            },
            Self::Saga(child) => &child.raises.otherwise,
        }
    }
}

/// A task to be made: the fields that a follow-up has, as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TaskBody(BTreeMap<String, JsonText>);

impl TaskBody {
    pub(super) const fn new(fields: BTreeMap<String, JsonText>) -> Self {
        Self(fields)
    }

    /// As one object.
    pub fn json(&self) -> JsonText {
        let json = serde_json::to_string(&self.0).expect("fields of JSON are always JSON");
        JsonText::trusted(json)
    }

    /// Its name, if it has one that is a text.
    pub fn name(&self) -> Option<String> {
        self.0.get("name")?.parse().ok()
    }
}

/// A task, or one for each entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskAction {
    #[serde(flatten)]
    pub body: TaskBody,
    /// What undoes it: recorded when it is issued, armed when it succeeds or its outcome is unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compensation: Vec<TaskBody>,
    #[serde(flatten)]
    pub reach: Reach,
}

/// How many tasks there are, and what their ends raise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Reach {
    Once {
        #[serde(skip_serializing_if = "Events::is_empty")]
        raises: Events,
    },
    ForEach {
        /// A text with the expression whose value is the list.
        #[serde(rename = "for_each")]
        items: String,
        join: Join,
        #[serde(skip_serializing_if = "FailureEvents::is_empty")]
        raises: FailureEvents,
    },
}

/// How the ends of many tasks become one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_partial_failure: OnPartialFailure,
    /// Raised once, when all have ended.
    pub raises: EventName,
}

/// What one of many tasks that does not succeed means for the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPartialFailure {
    /// They are cancelled, and all together have failed.
    #[default]
    Fail,
    /// Nothing: who joins them sees which have failed.
    Continue,
}

/// How many sagas may be above a child: one that starts itself would otherwise build a tower without end, of which every level holds
/// a saga that waits. Who divides work into parts of parts comes to a handful.
pub const CHILD_DEPTH_MAX: u8 = 16;

/// Another saga, whose end raises an event in this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChildSaga {
    /// Its definition, in the version that is the newest when it starts.
    pub saga: DefinitionName,
    /// A text that may hold expressions. Without it, it is made of the parent's id and the place of the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<JsonText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compensation: Vec<TaskBody>,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub raises: Events,
}

/// What an end raises.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<EventName>,
    #[serde(flatten)]
    pub otherwise: FailureEvents,
}

impl Events {
    /// Every event that may be raised.
    pub fn all(&self) -> impl Iterator<Item = &EventName> {
        self.success.iter().chain(self.otherwise.events())
    }

    fn is_empty(&self) -> bool {
        self.success.is_none() && self.otherwise.is_empty()
    }
}

/// What an end without success raises. Where one of the other two is missing, `failure` is raised in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureEvents {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<EventName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<EventName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired: Option<EventName>,
}

impl FailureEvents {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &EventName> {
        [&self.failure, &self.cancelled, &self.expired].into_iter().flatten()
    }
}

/// How long something takes: not nothing, at most [`Delay::MAX`], in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delay(Duration);

/// The number of seconds is none that a timer can wait.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("must lie between 0.001 and {} seconds, not {seconds}", Delay::MAX.as_secs())]
pub struct InvalidDelay {
    seconds: f64,
}

impl Delay {
    /// Ten years, as far ahead as a task may be scheduled.
    pub const MAX: Duration = Duration::from_secs(3_653 * 86_400);

    /// # Errors
    /// [`InvalidDelay`] for what rounds to nothing, for what is too long, and for what is no number.
    pub fn of_seconds(seconds: f64) -> Result<Self, InvalidDelay> {
        if !(0.001..=Self::MAX.as_secs_f64()).contains(&seconds) {
            return Err(InvalidDelay { seconds });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was just checked"
        )]
        let milliseconds = (seconds * 1_000.0).round() as u64;
        Ok(Self(Duration::from_millis(milliseconds)))
    }

    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// A whole number where it is one.
impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_millis() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_secs_f64())
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Definition {
        source::read(text).unwrap_or_else(|faults| panic!("{faults}"))
    }

    #[test]
    fn what_was_written_shorter_or_in_another_order_is_the_same_definition() {
        let short = read("name: a\ninitial: A\nstates:\n  A:\n    on: {x: {target: B}}\n  B: {final: true}\n");
        let long = read(
            r#"{"states": {"B": {"final": true},
                           "A": {"always": [], "on": {"x": [{"tasks": [], "target": "B", "compensate": false}]}}},
                "unhandled": "reject", "on_compensation_failure": "stop", "context": {}, "initial": "A", "name": "a"}"#,
        );
        assert_eq!(short, long);
        assert_eq!(
            short.canonical(),
            r#"{"name":"a","initial":"A","states":{"A":{"on":{"x":[{"target":"B"}]}},"B":{"final":true}}}"#
        );
        assert_eq!(short.fingerprint(), long.fingerprint());
        let other = read("name: a\ninitial: A\nstates:\n  A:\n    on: {y: {target: B}}\n  B: {final: true}\n");
        assert_ne!(short.fingerprint(), other.fingerprint());
    }

    #[test]
    fn everything_there_is_comes_back_from_its_canonical_form() {
        let whole = read(include_str!("tests/whole.yaml"));
        let canonical = whole.canonical();
        let again: Definition = serde_json::from_str(&canonical).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again, whole);
        assert_eq!(again.canonical(), canonical);
    }

    #[test]
    fn a_delay_is_neither_nothing_nor_for_ever() {
        for seconds in [0.0, 0.0004, -1.0, f64::NAN, f64::INFINITY, 1e12] {
            assert!(Delay::of_seconds(seconds).is_err(), "{seconds}");
        }
        let told = Delay::of_seconds(0.0).expect_err("nothing").to_string();
        assert_eq!(told, "must lie between 0.001 and 315619200 seconds, not 0");
        let half = Delay::of_seconds(0.5).expect("a delay");
        assert_eq!(serde_json::to_string(&half).expect("JSON"), "0.5");
        let hour = Delay::of_seconds(3_600.0).expect("a delay");
        assert_eq!(serde_json::to_string(&hour).expect("JSON"), "3600");
    }
}
