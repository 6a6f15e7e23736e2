//! An instance as a database keeps it: one JSON text, without what has columns of its own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::definition::Fields;
use super::instance::{Event, Instance, Joining, Live, Parked, Phase, Undo};
use super::names::{EventName, StateName};
use crate::JsonText;
use crate::identity::SagaId;
use crate::task::TaskError;

/// The form that is written. A form that this code would misread, or of which it would lose something, has another number.
const FORM: u32 = 1;

/// Why a text is no instance.
#[derive(Debug, thiserror::Error)]
pub enum InvalidInstance {
    #[error("the stored saga is of form {form}, and this version reads {FORM}: it was written by a newer one")]
    UnknownForm { form: u32 },
    #[error("the stored saga cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// What is nothing in most instances is left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    form: u32,
    state: Cow<'a, StateName>,
    phase: Cow<'a, Phase>,
    entry: u32,
    version: u64,
    last_number: u32,
    #[serde(default, skip_serializing_if = "is_nothing")]
    is_timed_out: Cow<'a, bool>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    awaiting: Cow<'a, Option<EventName>>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    context: Cow<'a, Fields>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    live: Cow<'a, BTreeMap<u32, Live>>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    joins: Cow<'a, BTreeMap<u32, Joining>>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    stack: Cow<'a, [Undo]>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    not_undone: Cow<'a, [(Undo, TaskError)]>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    deferred: Cow<'a, [Event]>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    parked: Cow<'a, [Parked]>,
}

fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Only which form it is.
#[derive(Deserialize)]
struct Form {
    form: u32,
}

impl Instance {
    /// Its stored form. Its id, its correlation id and its input are columns.
    pub fn to_stored(&self) -> JsonText {
        let Self {
            id: _,
            correlation_id: _,
            input: _,
            context,
            state,
            entry,
            awaiting,
            phase,
            is_timed_out,
            live,
            joins,
            stack,
            not_undone,
            deferred,
            parked,
            last_number,
            version,
        } = self;
        let stored = Stored {
            form: FORM,
            state: Cow::Borrowed(state),
            phase: Cow::Borrowed(phase),
            entry: *entry,
            version: *version,
            last_number: *last_number,
            is_timed_out: Cow::Borrowed(is_timed_out),
            awaiting: Cow::Borrowed(awaiting),
            context: Cow::Borrowed(context),
            live: Cow::Borrowed(live),
            joins: Cow::Borrowed(joins),
            stack: Cow::Borrowed(stack),
            not_undone: Cow::Borrowed(not_undone),
            deferred: Cow::Borrowed(deferred),
            parked: Cow::Borrowed(parked),
        };
        JsonText::trusted(serde_json::to_string(&stored).expect("an instance is always JSON"))
    }

    /// # Errors
    /// [`InvalidInstance`] if the text is not one that [`to_stored`](Self::to_stored) made.
    pub fn from_stored(
        id: SagaId,
        correlation_id: String,
        input: JsonText,
        stored: &str,
    ) -> Result<Self, InvalidInstance> {
        let Stored {
            form,
            state,
            phase,
            entry,
            version,
            last_number,
            is_timed_out,
            awaiting,
            context,
            live,
            joins,
            stack,
            not_undone,
            deferred,
            parked,
        } = serde_json::from_str(stored).map_err(|error| unread(stored, error))?;
        if form != FORM {
            return Err(InvalidInstance::UnknownForm { form });
        }
        Ok(Self {
            id,
            correlation_id,
            input,
            context: context.into_owned(),
            state: state.into_owned(),
            entry,
            awaiting: awaiting.into_owned(),
            phase: phase.into_owned(),
            is_timed_out: is_timed_out.into_owned(),
            live: live.into_owned(),
            joins: joins.into_owned(),
            stack: stack.into_owned(),
            not_undone: not_undone.into_owned(),
            deferred: deferred.into_owned(),
            parked: parked.into_owned(),
            last_number,
            version,
        })
    }
}

/// A form that is newer has fields that are not known, and that is what there is to say of it.
fn unread(stored: &str, error: serde_json::Error) -> InvalidInstance {
    match serde_json::from_str::<Form>(stored) {
        Ok(Form { form }) if form != FORM => InvalidInstance::UnknownForm { form },
        Ok(_) | Err(_) => InvalidInstance::Malformed(error),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::saga::source::read;

    fn from_stored(stored: &str) -> Result<Instance, InvalidInstance> {
        Instance::from_stored(SagaId(Uuid::nil()), "c".to_owned(), JsonText::null(), stored)
    }

    #[test]
    fn what_is_nothing_is_left_out() {
        let definition = read("name: a\ninitial: A\nstates: {A: {on: {x: {target: B}}}, B: {final: true}}")
            .unwrap_or_else(|faults| panic!("{faults}"));
        let instance = Instance::new(&definition, SagaId(Uuid::nil()), "c".to_owned(), JsonText::null());
        let stored = instance.to_stored();
        assert_eq!(
            stored.as_str(),
            r#"{"form":1,"state":"A","phase":"Created","entry":0,"version":0,"last_number":0}"#
        );
        assert_eq!(from_stored(stored.as_str()).expect("an instance"), instance);
    }

    #[test]
    fn a_form_of_another_version_is_told_as_such() {
        for newer in [
            r#"{"form":2,"state":"A","phase":"Created","entry":0,"version":0,"last_number":0}"#,
            r#"{"form":2,"place":"A"}"#,
        ] {
            let error = from_stored(newer).expect_err("refused");
            assert_eq!(
                error.to_string(),
                "the stored saga is of form 2, and this version reads 1: it was written by a newer one"
            );
        }
        let unknown = r#"{"form":1,"state":"A","phase":"Created","entry":0,"version":0,"last_number":0,"more":1}"#;
        for damaged in ["", "{}", r#"{"form":1}"#, unknown] {
            let error = from_stored(damaged).expect_err("refused").to_string();
            assert!(error.starts_with("the stored saga cannot be read: "), "{error}");
        }
    }
}
