//! How well this machine can keep programs apart. `doctor` asks the same question, so that its answer is that of a start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::TaskName;
use orchestratum_core::task::BuiltIn;
use orchestratum_engine::{IsolationWanted, Settings, WorkerSettings, error};
use orchestratum_sandbox::{Error as SandboxError, Isolation, Sandbox, Shim};
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::environments::Environments;
use crate::executors::{Configured, Python, Shell};
use crate::shared::Programs;

/// How often a level is tried that has trouble which may pass, and how long after each other.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// How long a try may take. Walls have less to be built in.
const PATIENCE: Duration = Duration::from_secs(30);

/// The best of the levels that the settings allow.
#[derive(Debug)]
pub struct Found {
    /// `None` where this machine allows none of them: then no programs are run.
    pub sandbox: Option<Sandbox>,
    /// Those before it that cannot be had here, and why.
    pub refused: Vec<(Isolation, String)>,
}

/// What it means that programs are ordinary processes.
const NOT_KEPT_APART: &str = "the programs of tasks are not kept apart from this machine: they read and change what the worker \
                              may, and use the network whatever `worker.network` says";

impl Found {
    /// What whoever runs a worker here has to know of the level that was found.
    pub fn warning(&self) -> Option<&'static str> {
        let is_off = |sandbox: &Sandbox| sandbox.isolation() == Isolation::Off;
        self.sandbox.as_ref().is_some_and(is_off).then_some(NOT_KEPT_APART)
    }

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
        let isolation = sandbox.isolation().as_str();
        if let Some(warning) = self.warning() {
            tracing::warn!(isolation, "{warning}");
        } else {
            tracing::info!(isolation, network = settings.network, "programs are run");
        }
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
/// [`Error::Sandbox`] where programs could not be run at any level, such as a folder that cannot be written, and where a
/// level has trouble that is none of its walls. Then nobody knows whether it can be had, and the next one would be less than
/// what this machine allows for as long as the worker lives.
pub async fn find(settings: &WorkerSettings, shim: &Shim, readable: &[PathBuf]) -> Result<Found, Error> {
    let mut refused = Vec::new();
    for level in levels(settings.isolation) {
        match open(settings, shim, readable, *level).await {
            Ok(sandbox) => {
                let sandbox = Some(sandbox);
                return Ok(Found { sandbox, refused });
            }
            Err(error) if is_refusal(&error, *level) => refused.push((*level, error::chain(&error))),
            Err(error) => return Err(Error::Sandbox(error)),
        }
    }
    Ok(Found { sandbox: None, refused })
}

async fn open(
    settings: &WorkerSettings,
    shim: &Shim,
    readable: &[PathBuf],
    level: Isolation,
) -> Result<Sandbox, SandboxError> {
    let mut tries_left = TRIES;
    loop {
        let opening = Sandbox::open(shim.clone(), level, readable.to_vec(), settings.work_dir.clone());
        let error = match timeout(PATIENCE, opening).await {
            Ok(Ok(sandbox)) => return Ok(sandbox),
            Ok(Err(error)) => error,
            Err(_) => SandboxError::NotInTime(PATIENCE),
        };
        tries_left -= 1;
        if tries_left == 0 || !may_pass(&error) {
            return Err(error);
        }
        tracing::warn!(
            isolation = level.as_str(),
            reason = error::chain(&error),
            "this level of isolation is tried again"
        );
        sleep(PAUSE).await;
    }
}

/// Whether it may be otherwise in a moment: the machine is busy, or out of memory or of processes.
fn may_pass(error: &SandboxError) -> bool {
    !matches!(
        error,
        SandboxError::NoWalls(_) | SandboxError::ShimNotLinked | SandboxError::Workspace { .. }
    )
}

/// Whether the level cannot be had here. Below [`Isolation::Full`] a program builds its own walls, so that it is told as not
/// started where it cannot.
fn is_refusal(error: &SandboxError, level: Isolation) -> bool {
    match error {
        SandboxError::NoWalls(_) => true,
        SandboxError::NotStarted(_) => level < Isolation::Full,
        _ => false,
    }
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

/// A command whose tasks a worker here offers.
#[derive(Debug)]
pub struct OfferedCommand {
    pub program: String,
    /// Why its tasks are likely to fail all the same.
    pub warning: Option<String>,
}

/// The commands of the settings behind the walls that were found, or why a worker does not offer their tasks.
pub async fn commands(settings: &Settings, sandbox: Arc<Sandbox>) -> Vec<(&TaskName, Result<OfferedCommand, String>)> {
    let programs = Programs::new(sandbox, settings);
    let mut commands = Vec::new();
    for (name, command) in &settings.worker.commands {
        let found = Configured::that_works(command, &programs).await;
        let offered = found.map(|command| OfferedCommand {
            program: command.program().to_owned(),
            warning: command.warning(),
        });
        commands.push((name, offered));
    }
    commands
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_the_walls_themselves_decide_for_the_next_level() {
        let workspace = SandboxError::Workspace {
            folder: "/nothing".to_owned(),
            source: io::ErrorKind::NotFound.into(),
        };
        for (error, passes, refuses) in [
            (SandboxError::NoWalls("no user namespaces".to_owned()), false, true),
            (workspace, false, false),
            (SandboxError::ShimNotLinked, false, false),
            (SandboxError::NotInTime(PATIENCE), true, false),
            (SandboxError::Shim(io::ErrorKind::WouldBlock.into()), true, false),
            (SandboxError::ShimVanished, true, false),
            (SandboxError::NotStarted("no process".to_owned()), true, false),
        ] {
            let found = (may_pass(&error), is_refusal(&error, Isolation::Full));
            assert_eq!(found, (passes, refuses), "{error}");
        }
        let walls = SandboxError::NotStarted("Landlock is not there".to_owned());
        assert!(is_refusal(&walls, Isolation::Landlock));
    }
}
