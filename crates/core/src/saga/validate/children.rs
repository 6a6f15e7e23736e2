//! Other definitions that one starts: whoever knows which there are is told where each of them is asked for.

use std::collections::BTreeSet;

use super::ways::starts;
use crate::saga::definition::{Action, Definition};
use crate::saga::fault::{FAULTS_MAX_COUNT, Fault};
use crate::saga::names::DefinitionName;

/// Each of them once, with what is told where it is started first. Of very many, the first: more would not be told.
pub(in crate::saga) fn children(definition: &Definition) -> Vec<(DefinitionName, Fault)> {
    let mut seen = BTreeSet::from([&definition.name]);
    let mut children = Vec::new();
    for start in starts(definition) {
        match start.action {
            Action::Saga(child) if children.len() < FAULTS_MAX_COUNT && seen.insert(&child.saga) => {
                let message = format!("there is no definition {} yet: without it this child fails", child.saga);
                let pointer = format!("{}/saga", start.pointer);
                children.push((child.saga.clone(), Fault::new(pointer, message)));
            }
            Action::Task(_) | Action::Saga(_) => {}
        }
    }
    children
}
