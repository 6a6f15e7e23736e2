//! The policy of `deny.toml`, held without a further tool.

use anyhow::Result;

use super::policy::Policy;
use super::{Findings, Project, expression};

/// What cargo calls the one public registry.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn every_licence_is_allowed(project: &Project) -> Result<Findings> {
    let policy = Policy::parse(project.text("deny.toml")?)?;
    let mut findings = Vec::new();
    for package in project.metadata.packages() {
        let name = format!("{} {}", package.name, package.version);
        match &package.license {
            None => findings.push(format!("{name} names no licence")),
            Some(license) => match expression::holds(license, &|term| policy.allows(&package.name, term)) {
                Ok(true) => {}
                Ok(false) => findings.push(format!("{name} is under `{license}`, which deny.toml does not allow")),
                Err(error) => findings.push(format!("{name}: {error:#}")),
            },
        }
    }
    for exception in policy.excepted_crates() {
        if !project.metadata.packages().any(|package| package.name == exception) {
            findings.push(format!("deny.toml has an exception for {exception}, which is not used"));
        }
    }
    Ok(findings)
}

pub(super) fn every_dependency_comes_from_the_one_registry(project: &Project) -> Findings {
    let others = project.metadata.packages().filter(|package| match &package.source {
        Some(source) => source != REGISTRY,
        None => package.folder.is_none(),
    });
    others
        .map(|package| {
            let source = package.source.as_deref().unwrap_or("a folder outside of the checkout");
            format!("{} {} comes from {source}", package.name, package.version)
        })
        .collect()
}

pub(super) fn no_banned_crate_is_used(project: &Project) -> Result<Findings> {
    let policy = Policy::parse(project.text("deny.toml")?)?;
    let banned = project.metadata.packages().filter(|package| policy.bans(&package.name));
    Ok(banned
        .map(|package| format!("{} {} is banned by deny.toml", package.name, package.version))
        .collect())
}
