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

pub use tree::{SOURCE_MAX_BYTES, SOURCE_MAX_DEPTH};

pub(super) use tree::Node;

use self::reader::{At, Reader};
use super::definition::Definition;
use super::fault::Faults;

/// What a text says, as far as it can be understood.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) root: Node,
    /// `None` if there is too little of it. Where there are faults, without what they are about.
    pub(super) definition: Option<Definition>,
    pub(super) faults: Faults,
}

/// Reads YAML or JSON. Whether names lead anywhere and expressions mean something is not asked.
///
/// # Errors
/// Every fault of form.
pub fn read(text: &str) -> Result<Definition, Faults> {
    let reading = understand(text)?;
    match reading.definition {
        Some(definition) if reading.faults.is_empty() => Ok(definition),
        Some(_) | None => Err(reading.faults),
    }
}

/// Reads as much as there is to read.
///
/// # Errors
/// If the text is no tree.
pub(super) fn understand(text: &str) -> Result<Reading, Faults> {
    let root = tree::parse(text)?;
    let mut reader = Reader::default();
    let definition = reader.definition(&At::root(&root));
    Ok(Reading {
        faults: reader.faults,
        definition,
        root,
    })
}
