//! What was said of a definition so far, and the text that comes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::term::{Assignments, Term};
use crate::JsonText;
use crate::expression::{Expression, Template, Variable};
use crate::saga::check::check;
use crate::saga::definition::{Definition, End};
use crate::saga::fault::{Fault, Faults};
use crate::saga::validate::Gaps;
use crate::task::SpecLimits;
use crate::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Everything but the states.
    pub(super) fields: Map<String, Value>,
    /// The names that the context has by its type.
    pub(super) context: &'static [&'static str],
    pub(super) states: BTreeMap<&'static str, StateDraft>,
    pub(super) faults: Faults,
}

#[derive(Debug, Default)]
pub(super) struct StateDraft {
    pub(super) end: Option<End>,
    /// The field of the context that says why it has failed.
    pub(super) reason: Option<&'static str>,
    pub(super) on: BTreeMap<&'static str, Vec<Option<Value>>>,
    pub(super) after: Vec<Option<Value>>,
    pub(super) always: Vec<Option<Value>>,
    pub(super) await_input: Option<Map<String, Value>>,
    pub(super) on_entry: Vec<Value>,
    pub(super) on_exit: Vec<Value>,
}

/// The place of a transition in its state.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    On { event: &'static str, index: usize },
    After { index: usize },
    Always { index: usize },
}

impl Draft {
    pub(super) fn state(&mut self, name: &'static str) -> &mut StateDraft {
        self.states.entry(name).or_default()
    }

    /// A state that ends the saga.
    pub(super) fn finalize(&mut self, name: &'static str, end: End) {
        let state = self.state(name);
        if state.end.is_some_and(|other| other != end) {
            let pointer = format!("/states/{name}/final");
            self.faults
                .add(Fault::new(pointer, "must not be both: finalize and finalize_failed"));
        } else {
            state.end = Some(end);
        }
    }

    /// One that has failed, and what says why.
    pub(super) fn finalize_failed_for<T>(&mut self, name: &'static str, reason: &Term<T>) {
        self.finalize(name, End::Failed);
        let field = reason.context_field();
        if field.is_none() {
            let pointer = format!("/states/{name}/reason");
            self.faults.add(Fault::new(pointer, "must be a field of the context"));
        }
        self.state(name).reason = field;
    }

    /// Changes of the context as an object.
    pub(super) fn assigned(&mut self, pointer: &str, into: &mut Map<String, Value>, changes: impl Assignments) {
        for change in changes.each() {
            match change.field {
                Some(name) => {
                    into.insert(name.to_owned(), change.value);
                }
                None => self.faults.add(Fault::new(
                    pointer,
                    "must be fields of the context, which is all that is set",
                )),
            }
        }
    }

    /// # Errors
    /// Every fault, also those that only types can tell.
    pub(super) fn finish(mut self) -> Result<Definition, Faults> {
        let mut states = Map::new();
        for (name, state) in std::mem::take(&mut self.states) {
            states.insert(name.to_owned(), self.written(name, state));
        }
        let mut whole = self.fields;
        whole.insert("states".to_owned(), Value::Object(states));
        // It has no clock, and nothing in it needs one: a task of a definition has no date.
        match check(
            &Value::Object(whole).to_string(),
            &SpecLimits::default(),
            Timestamp::EPOCH,
        ) {
            Ok(checked) if self.faults.is_empty() => Ok(checked.definition),
            Ok(_) => Err(self.faults),
            Err(faults) => {
                let gaps = Gaps::of(&self.faults);
                let faults = faults.0.into_iter().filter(|fault| !follows(fault, &gaps));
                let faults = faults.map(|fault| Fault { place: None, ..fault });
                self.faults.extend(Faults(faults.collect()));
                Err(self.faults)
            }
        }
    }

    fn written(&mut self, name: &str, state: StateDraft) -> Value {
        let pointer = format!("/states/{name}");
        let StateDraft {
            end,
            reason,
            on,
            after,
            always,
            await_input,
            on_entry,
            on_exit,
        } = state;
        let mut fields = Map::new();
        fields.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
        match end {
            Some(End::Completed) => {
                fields.insert("final".to_owned(), true.into());
            }
            Some(End::Failed) => {
                fields.insert("final".to_owned(), "failed".into());
            }
            None => {}
        }
        let mut events = Map::new();
        for (event, candidates) in on {
            let candidates = self.transitions(&format!("{pointer}/on/{event}"), candidates);
            events.insert(event.to_owned(), candidates.into());
        }
        if !events.is_empty() {
            fields.insert("on".to_owned(), events.into());
        }
        let after = self.transitions(&format!("{pointer}/after"), after);
        let always = self.transitions(&format!("{pointer}/always"), always);
        for (list, what) in [("on_entry", &on_entry), ("on_exit", &on_exit)] {
            for (index, action) in what.iter().enumerate() {
                self.look(&format!("{pointer}/{list}/{index}"), action);
            }
        }
        let lists = [
            ("after", after),
            ("always", always),
            ("on_entry", on_entry),
            ("on_exit", on_exit),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        fields.extend(lists.map(|(list, what)| (list.to_owned(), Value::Array(what))));
        fields.extend(await_input.map(|input| ("await_input".to_owned(), Value::Object(input))));
        Value::Object(fields)
    }

    fn transitions(&mut self, pointer: &str, transitions: Vec<Option<Value>>) -> Vec<Value> {
        let mut written = Vec::new();
        for (index, transition) in transitions.into_iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            if let Some(transition) = transition {
                self.look(&pointer, &transition);
                written.push(transition);
            } else {
                let message = "does not say where it goes: end it with transition_to, stay or compensate";
                self.faults.add(Fault::new(pointer, message));
                written.push(json!({}));
            }
        }
        written
    }

    /// Whether expressions ask for fields of the context that its type does not have. All else is seen later.
    fn look(&mut self, pointer: &str, part: &Value) {
        let known = variables(Variable::with_fields("context", self.context));
        let unknown = variables(Variable::any("context"));
        if let Some(guard) = part.get("if").and_then(Value::as_str)
            && Expression::compile(guard, &unknown).is_ok()
            && let Err(invalid) = Expression::compile(guard, &known)
        {
            self.faults
                .add(Fault::new(format!("{pointer}/if"), invalid.to_string()));
        }
        let mut part = part.clone();
        if let Some(fields) = part.as_object_mut() {
            fields.remove("if");
        }
        let Ok(json) = JsonText::of(&part) else { return };
        let others = Template::parse(&json, &unknown).err().unwrap_or_default();
        for invalid in Template::parse(&json, &known).err().unwrap_or_default() {
            if others.iter().all(|other| other.pointer != invalid.pointer) {
                let pointer = format!("{pointer}{}", invalid.pointer);
                self.faults.add(Fault::new(pointer, invalid.fault.to_string()));
            }
        }
    }
}

/// Everything that any expression of a definition may use, also in follow-ups of its tasks.
fn variables(context: Variable<'_>) -> [Variable<'_>; 8] {
    let others = ["input", "event", "saga", "item", "index", "output", "error"].map(Variable::any);
    let [input, event, saga, item, index, output, error] = others;
    [context, input, event, saga, item, index, output, error]
}

/// As definitions write times: a whole number where it is one.
pub(super) fn seconds(duration: Duration) -> Value {
    if duration.subsec_nanos() == 0 {
        duration.as_secs().into()
    } else {
        duration.as_secs_f64().into()
    }
}

/// Whether it says of a state as a whole what may follow from something that was not written into it.
fn follows(fault: &Fault, gaps: &Gaps) -> bool {
    let state = fault
        .pointer
        .strip_prefix("/states/")
        .and_then(|name| name.parse().ok());
    state.is_some_and(|state| !gaps.spare(&state))
}
