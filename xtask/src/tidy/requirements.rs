//! What was asked of this project: each part of it has tests, which stand in its row.

use std::path::Path;

use anyhow::{Result, ensure};

use super::functions::functions;
use super::tree::Tree;
use super::{Findings, Project, markdown};

const PAGE: &str = "docs/requirements.md";

/// What the last column of its tables is called: the path of a file, the names of tests in it, the next path, and so on.
const COLUMN: &str = "tests";

/// Those that have numbers where they were written down.
const NUMBERED: [&str; 9] = [
    "FR-ORCH-1",
    "FR-ORCH-2",
    "FR-ORCH-3",
    "FR-ORCH-4",
    "FR-ORCH-5",
    "FR-ORCH-6",
    "NF-ORCH-1",
    "NF-ORCH-2",
    "NF-ORCH-3",
];

pub(super) fn every_requirement_names_a_test(project: &Project) -> Result<Findings> {
    let rows = rows(project.text(PAGE)?)?;
    let without = rows.iter().filter(|row| references(row.tests()).tests.is_empty());
    let mut findings: Findings = without
        .map(|row| format!("{PAGE} names no test for {}", row.name()))
        .collect();
    let missing = NUMBERED
        .iter()
        .filter(|number| !rows.iter().any(|row| row.is_part_of(number)));
    findings.extend(missing.map(|number| format!("{PAGE} has no row for {number}")));
    Ok(findings)
}

pub(super) fn the_requirements_page_names_tests_that_exist(project: &Project) -> Result<Findings> {
    let rows = rows(project.text(PAGE)?)?;
    Ok(rows.iter().flat_map(|row| faults(row, &project.tree)).collect())
}

fn faults(row: &Row, tree: &Tree) -> Findings {
    let References { tests, without_a_file } = references(row.tests());
    let unplaced = without_a_file
        .into_iter()
        .map(|name| format!("{name} stands behind no file"));
    let unknown = tests.into_iter().filter_map(|(file, name)| {
        let Some(source) = tree.text(Path::new(file)) else {
            return Some(format!("there is no file {file}"));
        };
        let is_there = functions(source).any(|(function, _)| function == name);
        (!is_there).then(|| format!("{file} has no test {name}"))
    });
    unplaced
        .chain(unknown)
        .map(|fault| format!("{PAGE}, {}: {fault}", row.name()))
        .collect()
}

#[derive(Debug)]
struct Row(Vec<String>);

impl Row {
    fn name(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    fn tests(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// Whether it has this number, or that of a part of it: `FR-ORCH-1.2`.
    fn is_part_of(&self, number: &str) -> bool {
        let rest = self.name().strip_prefix(number);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

fn rows(page: &str) -> Result<Vec<Row>> {
    let tables = markdown::tables_with_last_column(page, COLUMN);
    ensure!(
        !tables.is_empty(),
        "{PAGE} has no table whose last column is \"{COLUMN}\""
    );
    Ok(tables.into_iter().flatten().map(Row).collect())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct References<'a> {
    /// Each with its file.
    tests: Vec<(&'a str, &'a str)>,
    without_a_file: Vec<&'a str>,
}

fn references(cell: &str) -> References<'_> {
    let mut references = References::default();
    let mut file = None;
    for span in markdown::code_spans(cell) {
        if Path::new(span).extension().is_some() {
            file = Some(span);
        } else if let Some(file) = file {
            references.tests.push((file, span));
        } else {
            references.without_a_file.push(span);
        }
    }
    references
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_stand_behind_their_files() {
        let found = references("`lost`; `a/b.rs`: `one`, `two`; `c.py`: `three`");
        let expected = References {
            tests: vec![("a/b.rs", "one"), ("a/b.rs", "two"), ("c.py", "three")],
            without_a_file: vec!["lost"],
        };
        assert_eq!(found, expected);
        assert_eq!(references("none yet, see `a.rs`").tests, []);
    }

    #[test]
    fn parts_of_a_number_have_dots() {
        let row = |name: &str| Row(vec![name.to_owned(), String::new()]);
        for (name, is_part) in [("FR-ORCH-1", true), ("FR-ORCH-1.2", true), ("FR-ORCH-12", false)] {
            assert_eq!(row(name).is_part_of("FR-ORCH-1"), is_part, "{name}");
        }
        assert!(rows("| no. | asked |\n|---|---|\n| 1 | a |\n").is_err());
        let rows = rows("| no. | tests |\n|---|---|\n| 1 | a |\n\n| no. | tests |\n|---|---|\n| 2 | b |\n");
        let names: Vec<String> = rows
            .expect("two tables")
            .iter()
            .map(|row| row.name().to_owned())
            .collect();
        assert_eq!(names, ["1", "2"]);
    }
}
