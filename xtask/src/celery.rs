//! What the tests of `celery` tasks run Celery's workers with: an interpreter that has it.
//!
//! ```text
//! CELERY_PYTHON is set ──► that one
//! it is not ─────────────► an environment of packages, once, in the build folder
//! ```

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::python::{self, remove};
use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;

/// What the tests read.
pub(crate) const VARIABLE: &str = "CELERY_PYTHON";

const REQUIREMENTS: &str = include_str!("../celery/requirements.txt");

/// Says in the folder what it was made by.
const RECIPE: &str = "recipe.txt";

pub(crate) fn provide(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(given) = env::var_os(VARIABLE).filter(|given| !given.is_empty()) {
        // Tests run in folders of their own.
        let given = std::path::absolute(given)?;
        if !process::succeeds(Command::new(&given).args(["-c", "import celery"])) {
            bail!(
                "{VARIABLE} is {}, which is no interpreter that has Celery",
                given.display()
            );
        }
        return Ok(given);
    }
    made(&workspace.target()).with_context(|| {
        format!(
            "there is no Celery for the tests, and it cannot be installed: set {VARIABLE} to an interpreter of Python that has it"
        )
    })
}

/// Makes it where it is not there yet, in the versions that are written down.
fn made(target: &Path) -> Result<PathBuf> {
    let folder = target.join("celery");
    if !is_made(&folder) {
        fs::create_dir_all(target)?;
        let _alone = python::lock(&target.join("celery.lock"), "an environment with Celery")?;
        // Whoever had the lock before may have made it.
        if !is_made(&folder) {
            make(&folder)?;
        }
    }
    Ok(folder.join("environment/bin/python"))
}

fn is_made(folder: &Path) -> bool {
    fs::read_to_string(folder.join(RECIPE)).is_ok_and(|made_by| made_by == REQUIREMENTS)
}

fn make(folder: &Path) -> Result<()> {
    let stopwatch = Stopwatch::start();
    eprintln!("installing Celery in {}", folder.display());
    // In its own place: an environment knows the path that it was made at. It counts when its recipe is there.
    remove(folder)?;
    fs::create_dir_all(folder)?;
    let python = python::environment(folder)?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    python::install(&python, &requirements)?;
    fs::write(folder.join(RECIPE), REQUIREMENTS)?;
    eprintln!("installed in {stopwatch}");
    Ok(())
}
