//! What no compiler checks: small rules over the whole tree, each a function with a name that says what holds.
//!
//! A review remark made twice becomes a rule here or a lint.

mod architecture;
mod compatibility;
mod dependencies;
mod documents;
mod expression;
mod functions;
mod manifests;
mod markdown;
mod policy;
mod requirements;
mod sources;
mod tree;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use self::tree::Tree;
use crate::metadata::{self, Metadata};
use crate::workspace::Workspace;

/// What the checks look at, read once.
#[derive(Debug)]
struct Project {
    tree: Tree,
    metadata: Metadata,
    linked_into_core: BTreeSet<String>,
}

impl Project {
    fn read(workspace: &Workspace) -> Result<Self> {
        Ok(Self {
            tree: Tree::read(workspace.root())?,
            metadata: Metadata::read(workspace)?,
            linked_into_core: metadata::linked_alone(workspace, architecture::CORE)?,
        })
    }

    fn text(&self, path: &str) -> Result<&str> {
        match self.tree.text(Path::new(path)) {
            Some(text) => Ok(text),
            None => bail!("{path} is missing"),
        }
    }
}

/// What is against a rule, each finding one line.
type Findings = Vec<String>;

trait Verdict {
    fn findings(self) -> Findings;
}

impl Verdict for Findings {
    fn findings(self) -> Findings {
        self
    }
}

/// An error means that what the rule needs to look at is not there.
impl Verdict for Result<Findings> {
    fn findings(self) -> Findings {
        self.unwrap_or_else(|error| vec![format!("{error:#}")])
    }
}

type Rule = fn(&Project) -> Findings;

/// Each rule under the name of its function.
macro_rules! rules {
    ($($module:ident::$rule:ident,)*) => {
        &[$((stringify!($rule), |project| $module::$rule(project).findings())),*]
    };
}

const RULES: &[(&str, Rule)] = rules![
    architecture::the_core_has_no_io,
    architecture::only_their_owners_use_databases_brokers_and_servers,
    architecture::crates_depend_as_the_architecture_says,
    compatibility::the_compatibility_page_names_tests_that_exist,
    compatibility::every_test_of_compatibility_is_on_the_page,
    compatibility::what_is_the_same_has_a_test_of_its_number,
    dependencies::every_licence_is_allowed,
    dependencies::every_dependency_comes_from_the_one_registry,
    dependencies::no_banned_crate_is_used,
    documents::both_readmes_have_the_same_headings,
    documents::both_readmes_have_the_same_code_blocks,
    documents::the_readmes_link_each_other,
    documents::links_between_documents_lead_somewhere,
    documents::the_changelog_has_an_unreleased_section,
    manifests::every_crate_takes_the_lints_of_the_workspace,
    manifests::the_compose_file_publishes_on_loopback_only,
    requirements::every_requirement_names_a_test,
    requirements::the_requirements_page_names_tests_that_exist,
    sources::both_dialects_have_the_same_migrations,
    sources::no_source_file_is_too_long,
    sources::nothing_is_left_unfinished,
    sources::nothing_names_the_machine_it_was_written_on,
];

/// `cargo xtask tidy`
pub(crate) fn run() -> Result<()> {
    check(&Workspace::locate()?)
}

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let project = Project::read(workspace)?;
    let mut broken = 0;
    for (name, rule) in RULES {
        let findings = rule(&project);
        println!("tidy {name} ... {}", if findings.is_empty() { "ok" } else { "FAILED" });
        for finding in &findings {
            println!("     {finding}");
        }
        broken += usize::from(!findings.is_empty());
    }
    if broken > 0 {
        bail!("{broken} of {} tidy checks failed", RULES.len());
    }
    Ok(())
}
