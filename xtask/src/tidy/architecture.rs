//! Dependencies point inwards.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::{Findings, Project, markdown};
use crate::metadata::Package;

pub(super) const CORE: &str = "orchestratum-core";
/// What reaches for a socket, a file, a runtime or chance; the core decides and leaves all that to others.
const IO: &[&str] = &[
    "async-io",
    "async-std",
    "axum",
    "fastrand",
    "getrandom",
    "hyper",
    "lapin",
    "mio",
    "nix",
    "rand",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "sqlx-core",
    "tempfile",
    "tokio",
];

pub(super) fn the_core_has_no_io(project: &Project) -> Findings {
    let io = IO.iter().filter(|name| project.linked_into_core.contains(**name));
    io.map(|name| format!("{CORE} is linked with {name}")).collect()
}

/// A library and the folders of the crates that may name it. `testkit` and `bench` look at the servers from outside.
const OWNERS: &[(&str, &[&str])] = &[
    ("sqlx", &["crates/store", "crates/testkit", "crates/bench"]),
    ("lapin", &["crates/broker", "crates/testkit", "crates/bench"]),
    ("axum", &["crates/api", "crates/worker", "crates/testkit"]),
];

pub(super) fn only_their_owners_use_databases_brokers_and_servers(project: &Project) -> Findings {
    let mut findings = Vec::new();
    for (folder, package) in folders(project) {
        for dependency in project.metadata.dependencies_of(package) {
            let owners = OWNERS.iter().find(|(library, _)| *library == dependency.name);
            if let Some((library, owners)) = owners.filter(|(_, owners)| !owners.contains(&folder)) {
                findings.push(format!(
                    "{folder} depends on {library}, which belongs to {}",
                    owners.join(", ")
                ));
            }
        }
    }
    findings
}

/// `ARCHITECTURE.md` has a table whose first column names the folder of each crate and whose last, "may depend on", names
/// the crates it may use; whoever may use a crate may use what that one may use.
pub(super) fn crates_depend_as_the_architecture_says(project: &Project) -> Result<Findings> {
    let table = markdown::tables_with_last_column(project.text("ARCHITECTURE.md")?, "may depend on")
        .into_iter()
        .next()
        .context("ARCHITECTURE.md has no table whose last column is \"may depend on\"")?;
    let allowed = allowed_by(&table);
    let mut findings = Vec::new();
    for (folder, package) in folders(project) {
        if !allowed.contains_key(folder) {
            findings.push(format!("{folder} has no row in the table of crates in ARCHITECTURE.md"));
            continue;
        }
        let reachable = reachable(&allowed, folder);
        for dependency in project
            .metadata
            .dependencies_of(package)
            .filter_map(|package| package.folder.as_deref())
        {
            if !reachable.contains(dependency) {
                findings.push(format!(
                    "{folder} depends on {dependency}, and its row in ARCHITECTURE.md does not say so"
                ));
            }
        }
    }
    for folder in allowed
        .keys()
        .filter(|folder| !folders(project).any(|(known, _)| known == folder.as_str()))
    {
        findings.push(format!("ARCHITECTURE.md has a row for {folder}, which does not exist"));
    }
    Ok(findings)
}

fn folders(project: &Project) -> impl Iterator<Item = (&str, &Package)> {
    project
        .metadata
        .members()
        .filter_map(|package| Some((package.folder.as_deref()?, package)))
}

/// Folder to the folders named in its last cell; `all` stands for every folder of the table.
fn allowed_by(table: &[Vec<String>]) -> BTreeMap<String, BTreeSet<String>> {
    let folder_of = |row: &Vec<String>| row.first().map(|cell| cell.trim_matches('`').to_owned());
    let folders: BTreeSet<String> = table.iter().filter_map(folder_of).collect();
    let mut allowed = BTreeMap::new();
    for row in table {
        let (Some(folder), Some(cell)) = (folder_of(row), row.last()) else {
            continue;
        };
        let words: BTreeSet<&str> = cell
            .split(|letter: char| !(letter.is_alphanumeric() || "-_/".contains(letter)))
            .collect();
        let named = folders.iter().filter(|folder| {
            let short = folder.strip_prefix("crates/").unwrap_or(folder);
            words.contains("all") || words.contains(short) || words.contains(folder.as_str())
        });
        allowed.insert(folder, named.cloned().collect());
    }
    allowed
}

fn reachable(allowed: &BTreeMap<String, BTreeSet<String>>, folder: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for next in allowed.get(&folder).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(folder: &str, may_depend_on: &str) -> Vec<String> {
        vec![format!("`{folder}`"), "what it is".to_owned(), may_depend_on.to_owned()]
    }

    #[test]
    fn a_crate_may_use_what_the_crates_it_may_use_may_use() {
        let table = [
            row("crates/core", "serde"),
            row("crates/store", "core, sqlx"),
            row("crates/engine", "`store`"),
        ];
        let allowed = allowed_by(&table);
        assert!(reachable(&allowed, "crates/engine").contains("crates/core"));
        assert!(reachable(&allowed, "crates/core").is_empty());
    }

    #[test]
    fn a_crate_that_may_depend_on_all_reaches_every_row() {
        let table = [row("crates/core", "–"), row("crates/testkit", "all")];
        assert!(reachable(&allowed_by(&table), "crates/testkit").contains("crates/core"));
    }
}
