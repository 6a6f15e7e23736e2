//! What cargo knows about the workspace and its dependencies.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The folder in the workspace; none for a package that is not ours.
    pub(crate) folder: Option<String>,
    pub(crate) license: Option<String>,
    /// Where it comes from; none for a package of the workspace.
    pub(crate) source: Option<String>,
    /// Ids of what is linked into it on some platform: not what only its tests or its build script need.
    dependencies: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Metadata {
    packages: BTreeMap<String, Package>,
}

impl Metadata {
    /// Fails where `Cargo.lock` is not up to date: a clean clone must build exactly what was tested.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let json = process::read(&mut workspace.cargo(&["metadata", "--format-version", "1", "--locked"]))?;
        Self::parse(&json).context("cargo metadata has another shape than expected")
    }

    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages().filter(|package| package.folder.is_some())
    }

    pub(crate) fn dependencies_of(&self, package: &Package) -> impl Iterator<Item = &Package> {
        package.dependencies.iter().filter_map(|id| self.packages.get(id))
    }

    fn parse(json: &str) -> Result<Self> {
        let document: Value = serde_json::from_str(json)?;
        let root = text(&document, "workspace_root")?;
        let mut packages = BTreeMap::new();
        for value in list(&document, "packages")? {
            let source = value["source"].as_str().map(str::to_owned);
            let manifest = text(value, "manifest_path")?;
            let folder = manifest
                .strip_prefix(&root)
                .and_then(|path| path.strip_suffix("/Cargo.toml"));
            let package = Package {
                name: text(value, "name")?,
                version: text(value, "version")?,
                folder: folder
                    .filter(|_| source.is_none())
                    .map(|folder| folder.trim_start_matches('/').to_owned()),
                license: value["license"].as_str().map(str::to_owned),
                source,
                dependencies: Vec::new(),
            };
            packages.insert(text(value, "id")?, package);
        }
        for node in list(&document["resolve"], "nodes")? {
            let package = packages
                .get_mut(&text(node, "id")?)
                .context("a node without a package")?;
            for dependency in list(node, "deps")? {
                // A normal dependency has no kind; `dev` and `build` name theirs.
                if list(dependency, "dep_kinds")?.iter().any(|kind| kind["kind"].is_null()) {
                    package.dependencies.push(text(dependency, "pkg")?);
                }
            }
        }
        Ok(Self { packages })
    }
}

/// The names of everything linked into the package where it is built alone: in a build of the whole workspace others'
/// wishes would show through its dependencies.
pub(crate) fn linked_alone(workspace: &Workspace, package: &str) -> Result<BTreeSet<String>> {
    let what = [
        "tree",
        "--locked",
        "--package",
        package,
        "--edges",
        "normal",
        "--target",
        "all",
    ];
    let how = ["--prefix", "none", "--format", "{p}"];
    let tree = process::read(workspace.cargo(&what).args(how))?;
    Ok(tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect())
}

fn text(value: &Value, key: &str) -> Result<String> {
    value[key]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("`{key}` is not a text"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a [Value]> {
    value[key]
        .as_array()
        .map(Vec::as_slice)
        .with_context(|| format!("`{key}` is not a list"))
}
