//! From the text of a definition to its data.
//!
//! ```text
//!   YAML or JSON ──tree──► nodes with places ──reader──► Definition, and every fault of form
//! ```

mod action;
mod definition;
mod pairs;
mod reader;
mod scalar;
mod state;
mod transition;
mod tree;

pub(super) use action::UNREAD_EVENT;
pub use tree::{CANONICAL_MAX_BYTES, SOURCE_MAX_BYTES, SOURCE_MAX_DEPTH};

pub(super) use tree::{Bounds, Node};

use std::collections::BTreeSet;

use self::reader::{At, Reader};
use super::definition::Definition;
use super::fault::Faults;
use super::names::DefinitionName;

/// What a text says, as far as it can be understood.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) root: Node,
    /// `None` if there is too little of it. Where there are faults, without what they are about.
    pub(super) definition: Option<Definition>,
    pub(super) faults: Faults,
    /// See [`Node::locate`].
    pub(super) left_out: BTreeSet<String>,
}

/// Reads YAML or JSON. Whether names lead anywhere and expressions mean something is not asked.
///
/// # Errors
/// Every fault of form.
pub fn read(text: &str) -> Result<Definition, Faults> {
    read_within(text, Bounds::SOURCE)
}

/// The same of what was stored: a canonical form, which may be larger than what it was made of.
///
/// # Errors
/// Every fault of form.
pub(super) fn read_canonical(text: &str) -> Result<Definition, Faults> {
    read_within(text, Bounds::CANONICAL)
}

fn read_within(text: &str, bounds: Bounds) -> Result<Definition, Faults> {
    let reading = understand(text, bounds)?;
    match reading.definition {
        Some(definition) if reading.faults.is_empty() => Ok(definition),
        Some(_) | None => Err(reading.faults),
    }
}

/// The name that a text gives itself, whatever else is wrong with it; where it gives none, one that stands for it. So that it can be
/// sent to whoever tells all that is wrong.
pub fn name_in(text: &str) -> DefinitionName {
    let definition = understand(text, Bounds::SOURCE)
        .ok()
        .and_then(|reading| reading.definition);
    definition.map_or_else(definition::unnamed, |definition| definition.name)
}

/// Reads as much as there is to read.
///
/// # Errors
/// If the text is no tree.
pub(super) fn understand(text: &str, bounds: Bounds) -> Result<Reading, Faults> {
    let (root, mut faults) = tree::parse(text, bounds)?;
    let mut reader = Reader::default();
    let definition = reader.definition(&At::root(&root));
    let Reader {
        faults: mut found,
        left_out,
    } = reader;
    // Of what YAML says otherwise than JSON, nothing else needs to be told.
    found
        .0
        .retain(|fault| faults.0.iter().all(|told| told.pointer != fault.pointer));
    faults.extend(found);
    Ok(Reading {
        root,
        definition,
        faults,
        left_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_faulty_text_is_found_and_one_stands_for_it_where_there_is_none() {
        for (text, name) in [
            ("name: order\nsttaes: {}\nstates: {A: {final: maybe}}", "order"),
            ("name: a b\nstates: {A: {final: true}}", "unnamed"),
            ("states: {A: {final: true}}", "unnamed"),
            ("name: [", "unnamed"),
        ] {
            assert_eq!(name_in(text).as_str(), name, "{text}");
        }
    }
}
