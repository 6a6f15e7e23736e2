//! How well this machine can keep programs apart. `doctor` asks the same question, so that its answer is that of a start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orchestratum_core::task::BuiltIn;
use orchestratum_engine::{IsolationWanted, Settings, WorkerSettings, error};
use orchestratum_sandbox::{Error as SandboxError, Isolation, Sandbox, Shim};

use crate::Error;
use crate::environments::Environments;
use crate::executors::{Python, Shell};
use crate::shared::Programs;

/// The best of the levels that the settings allow.
#[derive(Debug)]
pub struct Found {
    /// `None` where this machine allows none of them: then no programs are run.
    pub sandbox: Option<Sandbox>,
    /// Those before it that cannot be had here, and why.
    pub refused: Vec<(Isolation, String)>,
}

impl Found {
    pub(crate) fn log(&self, settings: &WorkerSettings) {
        for (level, reason) in &self.refused {
            tracing::warn!(
                isolation = level.as_str(),
                reason,
                "this level of isolation cannot be had here"
            );
        }
        let Some(sandbox) = &self.sandbox else {
            tracing::error!(
                "no programs are run, so `python`, `csharp` and `shell` tasks and those of commands are not offered: see \
                 `worker.isolation` in the settings"
            );
            return;
        };
        tracing::info!(
            isolation = sandbox.isolation().as_str(),
            network = settings.network,
            "programs are run"
        );
        if let Err(reason) = sandbox.counts_memory_together() {
            tracing::info!(
                reason,
                "the memory of programs is limited by process: there are no control groups"
            );
        }
    }
}

/// Tries the levels out, the best first, each with a program.
///
/// # Errors
/// [`Error::Sandbox`] where programs could not be run at any level, such as a folder that cannot be written.
pub async fn find(settings: &WorkerSettings, shim: &Shim, readable: &[PathBuf]) -> Result<Found, Error> {
    let mut refused = Vec::new();
    for level in levels(settings.isolation) {
        match Sandbox::open(shim.clone(), *level, readable.to_vec(), settings.work_dir.clone()).await {
            Ok(sandbox) => {
                let sandbox = Some(sandbox);
                return Ok(Found { sandbox, refused });
            }
            Err(error @ (SandboxError::ShimNotLinked | SandboxError::Workspace { .. })) => {
                return Err(Error::Sandbox(error));
            }
            Err(error) => refused.push((*level, error::chain(&error))),
        }
    }
    Ok(Found { sandbox: None, refused })
}

/// Which of the interpreters do not run behind the walls that were found, and why: a worker does not offer their tasks.
pub async fn failing(
    settings: &Settings,
    sandbox: Arc<Sandbox>,
    python: Option<String>,
    shell: Option<&Path>,
) -> Vec<(BuiltIn, String)> {
    let programs = Programs::new(sandbox, settings);
    let python = async {
        match python {
            Some(path) => Python::that_works(path, Environments::default(), &programs).await.err(),
            None => None,
        }
    };
    let shell = async {
        match shell {
            Some(path) => Shell::that_works(path, programs.clone()).await.err(),
            None => None,
        }
    };
    let (python, shell) = tokio::join!(python, shell);
    let failing = [(BuiltIn::Python, python), (BuiltIn::Shell, shell)];
    failing
        .into_iter()
        .filter_map(|(name, reason)| Some((name, reason?)))
        .collect()
}

/// In the order in which they are tried.
fn levels(wanted: IsolationWanted) -> &'static [Isolation] {
    match wanted {
        IsolationWanted::Auto => &[Isolation::Full, Isolation::Landlock],
        IsolationWanted::Full => &[Isolation::Full],
        IsolationWanted::Landlock => &[Isolation::Landlock],
        IsolationWanted::Off => &[Isolation::Off],
    }
}
