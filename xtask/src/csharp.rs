//! A runtime and a compiler of C# for the tests, in the build folder: no distribution has packages of a whole SDK.
//!
//! Where `CSHARP_RUNTIME` is set, that one is used: the folder of a `dotnet` with an SDK.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::packages::{Installer, on_search_path};
use crate::process;
use crate::workspace::Workspace;

const REQUIREMENTS: &str = include_str!("../csharp/requirements.txt");
const BOOTSTRAP: &str = include_str!("../csharp/bootstrap.py");
const CSC: &str = include_str!("../csharp/Csc.cs");

/// Carries the compiler's library; its checksum is in the script.
const PACKAGE: &str = "@azure-typespec/http-client-csharp@1.0.0-alpha.20250409.3";

/// What the tests read.
pub(crate) const VARIABLE: &str = "CSHARP_RUNTIME";

/// Makes it where it is not there yet, in the versions that are written down.
pub(crate) fn provide(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(given) = env::var_os(VARIABLE).filter(|given| !given.is_empty()) {
        return Ok(PathBuf::from(given));
    }
    let folder = workspace.target().join("csharp");
    let made_by = folder.join("recipe.txt");
    let recipe = [REQUIREMENTS, BOOTSTRAP, CSC, PACKAGE].concat();
    if fs::read_to_string(&made_by).ok().as_deref() != Some(recipe.as_str()) {
        make(&folder).context("cannot make a runtime of C# for the tests")?;
        fs::write(made_by, recipe)?;
    }
    Ok(folder.join("dotnet"))
}

fn make(folder: &Path) -> Result<()> {
    eprintln!("making a runtime of C# in {}", folder.display());
    if on_search_path("npm").is_none() {
        Installer::of_this_machine()?.install(&["npm"])?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (name, text) in [
        ("requirements.txt", REQUIREMENTS),
        ("bootstrap.py", BOOTSTRAP),
        ("Csc.cs", CSC),
    ] {
        fs::write(folder.join(name), text)?;
    }
    let environment = folder.join("environment");
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let python = environment.join("bin/python");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args([
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--requirement",
    ]);
    process::run(install.arg(folder.join("requirements.txt")))?;
    let mut fetch = Command::new("npm");
    fetch.args(["pack", "--silent", PACKAGE]).current_dir(folder);
    let printed = process::read(&mut fetch)?;
    let Some(package) = printed.split_whitespace().next_back() else {
        bail!("`npm pack` does not say what it fetched");
    };
    let mut bootstrap = Command::new(&python);
    bootstrap
        .arg(folder.join("bootstrap.py"))
        .arg(folder)
        .arg(folder.join(package))
        .arg(folder.join("Csc.cs"));
    process::run(&mut bootstrap)?;
    fs::remove_file(folder.join(package))?;
    fs::remove_dir_all(environment)?;
    Ok(())
}
