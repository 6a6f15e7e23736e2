//! What is promised to those who come from the library of the same name: each promise has tests, which are named after it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::functions::{functions, words};
use super::{Findings, Project};

const PAGE: &str = "docs/compatibility.md";

/// What a test is called that holds something to be the same, and one that holds it to be mended: by the number it has on the
/// page, in two digits.
const KINDS: [&str; 2] = ["match_", "fix_"];

pub(super) fn the_compatibility_page_names_tests_that_exist(project: &Project) -> Result<Findings> {
    let tests = tests(project);
    let named = named(project.text(PAGE)?);
    let findings = named.iter().filter(|name| !tests.contains_key(**name));
    Ok(findings
        .map(|name| format!("{PAGE} names {name}, which is no test"))
        .collect())
}

pub(super) fn every_test_of_compatibility_is_on_the_page(project: &Project) -> Result<Findings> {
    let named = named(project.text(PAGE)?);
    let mut findings = Vec::new();
    for (name, place) in tests(project) {
        if number(name).is_none() {
            findings.push(format!("{place}: {name} has no number of two digits"));
        } else if !named.contains(name) {
            findings.push(format!("{place}: {name} is not on {PAGE}"));
        }
    }
    Ok(findings)
}

pub(super) fn what_is_the_same_has_a_test_of_its_number(project: &Project) -> Result<Findings> {
    let rows = numbered_rows(project.text(PAGE)?);
    ensure!(!rows.is_empty(), "{PAGE} has no rows that begin with a number");
    let without = rows.iter().filter(|(number, row)| {
        let of_its_number = |name: &&str| KINDS.iter().any(|kind| name.starts_with(&format!("{kind}{number}_")));
        !named(row).iter().any(of_its_number)
    });
    Ok(without
        .map(|(number, _)| format!("{PAGE} names no test of {number} in its row"))
        .collect())
}

/// The rows of tables whose first cell is a number of two digits.
fn numbered_rows(page: &str) -> Vec<(&str, &str)> {
    let rows = page.lines().filter_map(|line| {
        let first = line.strip_prefix("| ")?.split(" |").next()?;
        (first.len() == 2 && first.bytes().all(|byte| byte.is_ascii_digit())).then_some((first, line))
    });
    rows.collect()
}

fn named(text: &str) -> BTreeSet<&str> {
    words(text).filter(|word| is_of_a_kind(word)).collect()
}

/// Each test of these kinds, and where it is.
fn tests(project: &Project) -> BTreeMap<&str, String> {
    let mut tests = BTreeMap::new();
    let sources = project
        .tree
        .texts()
        .filter(|(path, _)| path.extension().is_some_and(|ending| ending == "rs"));
    for (path, text) in sources {
        let of_a_kind = functions(text).filter(|(name, _)| is_of_a_kind(name));
        tests.extend(of_a_kind.map(|(name, line)| (name, format!("{}:{line}", path.display()))));
    }
    tests
}

fn is_of_a_kind(name: &str) -> bool {
    KINDS.iter().any(|kind| {
        let rest = name.strip_prefix(kind);
        rest.is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    })
}

fn number(name: &str) -> Option<&str> {
    let rest = KINDS.iter().find_map(|kind| name.strip_prefix(kind))?;
    let (number, _) = rest.split_once('_')?;
    (number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rows_are_found() {
        let page = "| no. | there | test |\n|---|---|---|\n| 01 | it is so | `match_01_it_is_so`, `match_1_more` |\n\
                    | 2 | no row | |\n`matches` and `fix_it`";
        assert_eq!(named(page), BTreeSet::from(["match_01_it_is_so", "match_1_more"]));
        let rows = numbered_rows(page);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].0, "01");
        assert_eq!(
            (number("fix_13_a"), number("match_1_more"), number("match_123_a")),
            (Some("13"), None, None)
        );
    }
}
