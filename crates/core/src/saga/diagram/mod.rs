//! Pictures of a definition, and of where an instance stands in it.
//!
//! ```text
//!   Definition, Live ──graph──► states and the ways between them ──► Mermaid
//!                                                  └──layout──► places ──► SVG
//! ```
//!
//! Names, guards and prompts are what users wrote: no picture lets them out of their place.

mod graph;
mod layout;
mod mermaid;
mod svg;
#[cfg(test)]
mod tests;

use self::graph::Graph;
use super::definition::Definition;
use super::names::{EventName, StateName};

/// Where an instance stands, and how it came there.
#[derive(Debug, Clone, Copy)]
pub struct Live<'a> {
    pub state: &'a StateName,
    /// From the first on.
    pub path: &'a [Taken],
}

/// A transition that an instance has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub from: StateName,
    pub to: StateName,
    /// What happened: the name of an event, `after` or `timeout`.
    pub event: EventName,
}

/// The definition as a state diagram of Mermaid.
pub fn mermaid(definition: &Definition) -> String {
    mermaid::written(&Graph::of(definition, None))
}

/// The same with the state of an instance and the way it took marked.
pub fn mermaid_live(definition: &Definition, live: Live<'_>) -> String {
    mermaid::written(&Graph::of(definition, Some(live)))
}

/// The definition as a drawing that needs nothing else: no script, no style sheet, no font.
pub fn svg(definition: &Definition) -> String {
    svg::drawn(&Graph::of(definition, None))
}

/// The same with the state of an instance and the way it took marked.
pub fn svg_live(definition: &Definition, live: Live<'_>) -> String {
    svg::drawn(&Graph::of(definition, Some(live)))
}
