//! Processes that the benchmark starts, and ends.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

/// How much of what a failed program wrote is shown.
const SHOWN_BYTES: usize = 4_000;

/// A process in a group of its own, with its children. Dropping it kills the group.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    group: Pid,
    log: PathBuf,
}

impl Program {
    /// What it writes goes into a file in the folder, so that no pipe can fill up and stop it.
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let errors = file.try_clone().context("cannot share a log file")?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        Self::spawn(name, command, log)
    }

    /// As [`start`](Self::start), with pipes for what it is told and what it answers.
    pub(crate) fn start_talking(
        name: &str,
        mut command: Command,
        folder: &Path,
    ) -> Result<(Self, ChildStdin, ChildStdout)> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut program = Self::spawn(name, command, log)?;
        let input = program.child.stdin.take().context("a piped input is there")?;
        let output = program.child.stdout.take().context("a piped output is there")?;
        Ok((program, input, output))
    }

    fn spawn(name: &str, mut command: Command, log: PathBuf) -> Result<Self> {
        command.process_group(0);
        let shown = command.get_program().to_string_lossy().into_owned();
        let child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {shown}"))?;
        let id = child.id().context("a process that was just started has an id")?;
        let group = Pid::from_raw(i32::try_from(id).context("a process id is positive")?);
        Ok(Self {
            name: name.to_owned(),
            child,
            group,
            log,
        })
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.group.as_raw().unsigned_abs()
    }

    /// Fails if it has ended, with the last it wrote.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().context("cannot ask for a process")? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status}): {}", self.name, self.last_words()),
        }
    }

    /// Waits for a program that ends by itself.
    pub(crate) async fn finish(mut self, limit: Duration) -> Result<()> {
        let Ok(status) = timeout(limit, self.child.wait()).await else {
            bail!("{} did not end within {limit:?}: {}", self.name, self.last_words());
        };
        let status = status.context("cannot wait for a process")?;
        if !status.success() {
            bail!("{} failed ({status}): {}", self.name, self.last_words());
        }
        Ok(())
    }

    /// Asks it to end, and kills it if it does not.
    pub(crate) async fn stop(mut self, limit: Duration) -> Result<()> {
        self.check()?;
        nix::sys::signal::kill(self.group, Signal::SIGTERM).context("cannot signal a process")?;
        if timeout(limit, self.child.wait()).await.is_err() {
            bail!(
                "{} was still there {limit:?} after SIGTERM: {}",
                self.name,
                self.last_words()
            );
        }
        Ok(())
    }

    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let start = text.len().saturating_sub(SHOWN_BYTES);
        String::from_utf8_lossy(&text[start..]).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Children of a program that has ended may still be there, in its group; an empty group is no harm.
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}
