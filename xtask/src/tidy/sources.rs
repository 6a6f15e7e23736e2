//! Rules over source text.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Findings, Project};

const LONGEST_FILE_LINES: usize = 600;

pub(super) fn both_dialects_have_the_same_migrations(project: &Project) -> Findings {
    let [postgres, sqlite]: [BTreeSet<&str>; 2] =
        ["migrations/postgres", "migrations/sqlite"].map(|folder| project.tree.names_in(folder).into_iter().collect());
    let mut findings: Vec<String> = postgres
        .symmetric_difference(&sqlite)
        .map(|name| format!("migration {name} exists in one dialect only"))
        .collect();
    if postgres.is_empty() && sqlite.is_empty() {
        findings.push("there are no migrations".to_owned());
    }
    findings
}

pub(super) fn no_source_file_is_too_long(project: &Project) -> Findings {
    let sources = project.tree.texts().filter(|(path, _)| is_rust(path));
    let long = sources
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE_LINES);
    long.map(|(path, lines)| format!("{} has {lines} lines, more than {LONGEST_FILE_LINES}", path.display()))
        .collect()
}

/// Taken apart here, so that this file is not a finding itself.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
    concat!("<<<<", "<<< "),
];

pub(super) fn nothing_is_left_unfinished(project: &Project) -> Findings {
    places_of_words(project, UNFINISHED)
}

/// Home folders of people and the usual marks of a private mirror of a registry.
const OF_A_MACHINE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!("index", "-url"),
    concat!("replace", "-with"),
    concat!("sparse", "+http"),
];

pub(super) fn nothing_names_the_machine_it_was_written_on(project: &Project) -> Findings {
    places_of_words(project, OF_A_MACHINE)
}

fn places_of_words(project: &Project, words: &[&str]) -> Vec<String> {
    let lines = project.tree.texts().flat_map(|(path, text)| {
        text.lines()
            .enumerate()
            .map(move |(index, line)| (path, index + 1, line))
    });
    lines
        .filter_map(|(path, number, line)| {
            let word = words.iter().find(|word| has_word(line, word))?;
            Some(format!("{}:{number} has `{word}`", path.display()))
        })
        .collect()
}

/// The word, not a part of a longer one: a random string in a test may hold anything.
fn has_word(line: &str, word: &str) -> bool {
    let goes_on = |one: Option<char>, other: Option<char>| {
        one.is_some_and(char::is_alphanumeric) && other.is_some_and(char::is_alphanumeric)
    };
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !goes_on(before, word.chars().next()) && !goes_on(word.chars().next_back(), after)
    })
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_inside_of_a_longer_one_is_not_meant() {
        assert!(has_word("x // HACK: later", "HACK"));
        assert!(!has_word("HACKNEY", "HACK"));
        assert!(has_word("see:/private/x", "/private/"));
    }
}
