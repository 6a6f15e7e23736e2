//! How well this machine can keep programs apart. `doctor` asks the same question, so that its answer is that of a start.

use std::path::PathBuf;

use orchestratum_engine::{IsolationWanted, WorkerSettings, error};
use orchestratum_sandbox::{Error as SandboxError, Isolation, Sandbox, Shim};

use crate::Error;

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

/// In the order in which they are tried.
fn levels(wanted: IsolationWanted) -> &'static [Isolation] {
    match wanted {
        IsolationWanted::Auto => &[Isolation::Full, Isolation::Landlock],
        IsolationWanted::Full => &[Isolation::Full],
        IsolationWanted::Landlock => &[Isolation::Landlock],
        IsolationWanted::Off => &[Isolation::Off],
    }
}
