//! State diagrams as Mermaid reads them.

use std::fmt::Write as _;

use super::graph::Graph;
use crate::saga::definition::End;

/// Names that the language takes for words of its own.
const KEYWORDS: [&str; 20] = [
    "as",
    "choice",
    "class",
    "classdef",
    "click",
    "constructor",
    "default",
    "direction",
    "end",
    "fork",
    "hide",
    "join",
    "left",
    "note",
    "of",
    "prototype",
    "right",
    "scale",
    "state",
    "style",
];

const MARK: &str = "✔ ";

pub(super) fn written(graph: &Graph<'_>) -> String {
    let ids: Vec<String> = graph
        .nodes
        .iter()
        .zip(0..)
        .map(|(node, index)| id(node.name, index))
        .collect();
    let mut text = String::from("stateDiagram-v2\n");
    for (node, id) in graph.nodes.iter().zip(&ids) {
        // A state that has something to say needs its name as a title.
        if id != node.name || !node.lines.is_empty() {
            line(&mut text, format_args!("state \"{}\" as {id}", escaped(node.name)));
        }
        for words in &node.lines {
            line(&mut text, format_args!("{id} : {}", escaped(words)));
        }
    }
    line(&mut text, format_args!("[*] --> {}", ids[graph.initial]));
    for edge in &graph.edges {
        let mark = if edge.is_taken { MARK } else { "" };
        let label = escaped(&edge.label.line());
        line(
            &mut text,
            format_args!("{} --> {} : {mark}{label}", ids[edge.from], ids[edge.to]),
        );
    }
    for (node, id) in graph.nodes.iter().zip(&ids) {
        if node.end.is_some() {
            line(&mut text, format_args!("{id} --> [*]"));
        }
    }
    if let Some(timeout) = &graph.timeout {
        let words = escaped(timeout);
        line(
            &mut text,
            format_args!("note right of {} : {words}", ids[graph.initial]),
        );
    }
    classes(&mut text, graph, &ids);
    text
}

/// `failed` for ends that are none to wish for, and for an instance `visited` and `current`.
fn classes(text: &mut String, graph: &Graph<'_>, ids: &[String]) {
    let of = |is_one: &dyn Fn(usize) -> bool| {
        let ids = ids.iter().enumerate().filter(|(index, _)| is_one(*index));
        ids.map(|(_, id)| id.as_str()).collect::<Vec<_>>().join(",")
    };
    let node = |index: usize| &graph.nodes[index];
    for (name, style, ids) in [
        (
            "failed",
            "stroke:#dc2626,color:#991b1b",
            of(&|index| node(index).end == Some(End::Failed)),
        ),
        (
            "visited",
            "fill:#e0f2fe,stroke:#0284c7",
            of(&|index| node(index).is_visited && !node(index).is_current),
        ),
        (
            "current",
            "fill:#bae6fd,stroke:#0369a1,stroke-width:3px",
            of(&|index| node(index).is_current),
        ),
    ] {
        if !ids.is_empty() {
            line(text, format_args!("classDef {name} {style}"));
            line(text, format_args!("class {ids} {name}"));
        }
    }
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    writeln!(text, "    {words}").expect("a String takes every text");
}

/// A name that is none of the language's words, and no other's.
fn id(name: &str, index: usize) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !name.starts_with("state_")
        && !KEYWORDS.contains(&name.to_ascii_lowercase().as_str());
    if is_plain {
        name.to_owned()
    } else {
        format!("state_{index}")
    }
}

/// Everything that could mean something by its number.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_alphanumeric() || " _.,()[]=+*/?!'-…→".contains(letter) {
            escaped.push(letter);
        } else {
            write!(escaped, "#{};", u32::from(letter)).expect("a String takes every text");
        }
    }
    escaped
}
