//! Interpreters of Python with packages that tests need: one with Celery, whose workers run tasks, and one with python-gitlab, by
//! which the double of GitLab is judged.
//!
//! ```text
//! its variable is set ──► that one
//! it is not ────────────► an environment of packages, once, in the build folder
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

#[derive(Debug)]
pub(crate) struct Interpreter {
    /// What the tests read.
    pub(crate) variable: &'static str,
    /// What it has, and the name by which Python knows it.
    pub(crate) library: &'static str,
    module: &'static str,
    /// In the build folder.
    folder: &'static str,
    requirements: &'static str,
}

pub(crate) const ALL: [&Interpreter; 2] = [
    &Interpreter {
        variable: "CELERY_PYTHON",
        library: "Celery",
        module: "celery",
        folder: "celery",
        requirements: include_str!("../celery/requirements.txt"),
    },
    &Interpreter {
        variable: "GITLAB_PYTHON",
        library: "python-gitlab",
        module: "gitlab",
        folder: "gitlab",
        requirements: include_str!("../gitlab/requirements.txt"),
    },
];

/// Says in the folder what it was made by.
const RECIPE: &str = "recipe.txt";

impl Interpreter {
    pub(crate) fn provide(&self, workspace: &Workspace) -> Result<PathBuf> {
        let Self {
            variable,
            library,
            module,
            ..
        } = self;
        if let Some(given) = env::var_os(variable).filter(|given| !given.is_empty()) {
            // Tests run in folders of their own.
            let given = std::path::absolute(given)?;
            if !process::succeeds(Command::new(&given).args(["-c", &format!("import {module}")])) {
                bail!(
                    "{variable} is {}, which is no interpreter that has {library}",
                    given.display()
                );
            }
            return Ok(given);
        }
        self.made(&workspace.target()).with_context(|| {
            format!(
                "there is no {library} for the tests, and it cannot be installed: set {variable} to an interpreter of Python that has it"
            )
        })
    }

    /// Makes it where it is not there yet, in the versions that are written down.
    fn made(&self, target: &Path) -> Result<PathBuf> {
        let folder = target.join(self.folder);
        if !self.is_made(&folder) {
            fs::create_dir_all(target)?;
            let lock = target.join(format!("{}.lock", self.folder));
            let _alone = python::lock(&lock, &format!("an environment with {}", self.library))?;
            // Whoever had the lock before may have made it.
            if !self.is_made(&folder) {
                self.make(&folder)?;
            }
        }
        Ok(folder.join("environment/bin/python"))
    }

    fn is_made(&self, folder: &Path) -> bool {
        fs::read_to_string(folder.join(RECIPE)).is_ok_and(|made_by| made_by == self.requirements)
    }

    fn make(&self, folder: &Path) -> Result<()> {
        let stopwatch = Stopwatch::start();
        eprintln!("installing {} in {}", self.library, folder.display());
        // In its own place: an environment knows the path that it was made at. It counts when its recipe is there.
        remove(folder)?;
        fs::create_dir_all(folder)?;
        let python = python::environment(folder)?;
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, self.requirements)?;
        python::install(&python, &requirements)?;
        fs::write(folder.join(RECIPE), self.requirements)?;
        eprintln!("installed in {stopwatch}");
        Ok(())
    }
}
