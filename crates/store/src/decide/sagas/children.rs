//! Child sagas as rows: each begins with an event that waits to be looked at.

use std::collections::{BTreeSet, HashMap};

use orchestratum_core::SagaId;
use orchestratum_core::saga::{CHILD_DEPTH_MAX, DefinitionName, Event, Input, Instance, Outcome, StateName};
use orchestratum_core::task::{ErrorKind, TaskError};

use super::fold::{ChildSaga, Folded};
use super::{EventColumns, WaitingEvent};
use crate::EventKind;

/// A child saga that is to be inserted, unless there is one of its definition and correlation id.
#[derive(Debug)]
pub(crate) struct ChildRow<'a> {
    pub(crate) parent: &'a Folded,
    pub(crate) child: &'a ChildSaga,
    pub(crate) definition_version: u32,
    pub(crate) depth: u8,
    pub(crate) instance: Instance,
}

/// What a child needs of its definition before it is looked at: it need not be ready to run by then.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// The newest.
    pub(crate) version: u32,
    pub(crate) initial: StateName,
}

/// Of which definitions there are to be children.
pub(crate) fn definitions_of_children(folded: &[Folded]) -> Vec<&DefinitionName> {
    let names: BTreeSet<&DefinitionName> = children_of(folded).map(|(_, child)| &child.definition).collect();
    names.into_iter().collect()
}

fn children_of(folded: &[Folded]) -> impl Iterator<Item = (&Folded, &ChildSaga)> {
    folded
        .iter()
        .flat_map(|saga| saga.children.iter().map(move |child| (saga, child)))
}

/// The children, and what the parents of those are told that cannot be made.
pub(crate) fn children<'a>(
    folded: &'a [Folded],
    beginnings: &HashMap<DefinitionName, Beginning>,
) -> (Vec<ChildRow<'a>>, Vec<WaitingEvent>) {
    let (mut rows, mut told) = (Vec::new(), Vec::new());
    for (parent, child) in children_of(folded) {
        let depth = parent.head.depth.saturating_add(1);
        if depth > CHILD_DEPTH_MAX {
            let reason = format!(
                "{CHILD_DEPTH_MAX} sagas are above this one already, which is the most: no {} begins below it",
                child.definition
            );
            told.push(unmade(parent, child, ErrorKind::Failed, reason));
            continue;
        }
        let Some(beginning) = beginnings.get(&child.definition) else {
            let reason = format!("there is no definition {}", child.definition);
            told.push(unmade(parent, child, ErrorKind::NotFound, reason));
            continue;
        };
        let instance = Instance::begin(
            beginning.initial.clone(),
            child.id,
            child.correlation_id.clone(),
            child.input.clone(),
        );
        rows.push(ChildRow {
            parent,
            child,
            definition_version: beginning.version,
            depth,
            instance,
        });
    }
    (rows, told)
}

impl ChildRow<'_> {
    pub(crate) const fn id(&self) -> SagaId {
        self.child.id
    }

    /// What comes of it: it begins where its row was inserted, and otherwise its parent is told that another is there.
    pub(crate) fn inserted(&self, is_new: bool) -> WaitingEvent {
        if is_new {
            return WaitingEvent {
                saga: self.id(),
                columns: EventColumns::encode(&Input::Started(Event::start(self.child.input.clone()))),
            };
        }
        let reason = format!(
            "there is a saga {} with the correlation id {} already",
            self.child.definition, self.child.correlation_id
        );
        unmade(self.parent, self.child, ErrorKind::Failed, reason)
    }
}

fn unmade(parent: &Folded, child: &ChildSaga, kind: ErrorKind, reason: String) -> WaitingEvent {
    let outcome = Outcome::Unsuccessful {
        error: TaskError::new(kind, reason),
        may_have_run: false,
    };
    WaitingEvent {
        saga: parent.head.id,
        columns: EventColumns::end(EventKind::TaskEnded, child.number, &outcome),
    }
}
