//! Documents that say the same, and links that lead somewhere.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::{Findings, Project, markdown};

const ENGLISH: &str = "README.md";
const RUSSIAN: &str = "README.ru.md";

pub(super) fn both_readmes_have_the_same_headings(project: &Project) -> Result<Findings> {
    let english = markdown::heading_levels(project.text(ENGLISH)?);
    let russian = markdown::heading_levels(project.text(RUSSIAN)?);
    if english == russian {
        return Ok(Vec::new());
    }
    let place = english
        .iter()
        .zip(&russian)
        .take_while(|(one, other)| one == other)
        .count();
    Ok(vec![format!(
        "{ENGLISH} has {} headings and {RUSSIAN} has {}; the first that differs is number {}",
        english.len(),
        russian.len(),
        place + 1
    )])
}

pub(super) fn both_readmes_have_the_same_code_blocks(project: &Project) -> Result<Findings> {
    let english = markdown::code_blocks(project.text(ENGLISH)?);
    let russian = markdown::code_blocks(project.text(RUSSIAN)?);
    let mut findings = Vec::new();
    if english.len() != russian.len() {
        findings.push(format!(
            "{ENGLISH} has {} code blocks and {RUSSIAN} has {}",
            english.len(),
            russian.len()
        ));
    }
    let differing = english
        .iter()
        .zip(&russian)
        .enumerate()
        .filter(|(_, (one, other))| one != other);
    findings.extend(differing.map(|(index, (one, other))| {
        format!(
            "code block {} differs:\n--- {ENGLISH}\n{one}\n--- {RUSSIAN}\n{other}",
            index + 1
        )
    }));
    Ok(findings)
}

pub(super) fn the_readmes_link_each_other(project: &Project) -> Result<Findings> {
    let mut findings = Vec::new();
    for (from, to) in [(ENGLISH, RUSSIAN), (RUSSIAN, ENGLISH)] {
        if !markdown::local_links(project.text(from)?).contains(&to) {
            findings.push(format!("{from} does not link {to}"));
        }
    }
    Ok(findings)
}

pub(super) fn links_between_documents_lead_somewhere(project: &Project) -> Findings {
    let mut findings = Vec::new();
    for (path, text) in project
        .tree
        .texts()
        .filter(|(path, _)| path.extension().is_some_and(|ending| ending == "md"))
    {
        let folder = path.parent().unwrap_or(Path::new(""));
        for link in markdown::local_links(text) {
            if !project.tree.has(&normalized(&folder.join(link))) {
                findings.push(format!("{} links {link}, which does not exist", path.display()));
            }
        }
    }
    findings
}

pub(super) fn the_changelog_has_an_unreleased_section(project: &Project) -> Result<Findings> {
    let found = project
        .text("CHANGELOG.md")?
        .lines()
        .any(|line| line.trim() == "## [Unreleased]");
    Ok(if found {
        Vec::new()
    } else {
        vec!["CHANGELOG.md has no heading `## [Unreleased]`".to_owned()]
    })
}

fn normalized(path: &Path) -> PathBuf {
    let mut normalized = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normalized.pop();
            }
            Component::Normal(name) => normalized.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normalized
}
