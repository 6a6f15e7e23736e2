//! Processes: the built binaries, started as an operator would, ended as the world would.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::wait::eventually_within;

/// The user without rights, by the number that it has everywhere.
const NOBODY: u32 = 65_534;

/// Starts a binary: [`Process::start`], or [`Process::start_as_ordinary_user`].
pub type Start = fn(&Path, &[&str], &BTreeMap<String, String>, PathBuf) -> anyhow::Result<Process>;

/// One process; it is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `binary` with exactly this environment (and `PATH`); its output goes to `log`.
    pub fn start(
        binary: &Path,
        arguments: &[&str],
        environment: &BTreeMap<String, String>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        Self::spawn(&mut Command::new(binary), arguments, environment, log)
    }

    /// The same as an ordinary user, who becomes the owner of the folder of the log. What the kernel keeps from others
    /// is open to root, and tests may be root's.
    pub fn start_as_ordinary_user(
        binary: &Path,
        arguments: &[&str],
        environment: &BTreeMap<String, String>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        if !geteuid().is_root() {
            return Self::start(binary, arguments, environment, log);
        }
        let folder = log.parent().context("a log has a folder")?;
        chown(folder, Some(NOBODY), Some(NOBODY))?;
        let spawn = |binary: &Path| {
            let mut command = Command::new(binary);
            Self::spawn(command.uid(NOBODY).gid(NOBODY), arguments, environment, log.clone())
        };
        spawn(binary).or_else(|error| match error.downcast_ref::<std::io::Error>() {
            Some(cause) if cause.kind() == ErrorKind::PermissionDenied => {
                // The build lies where only root gets.
                let reachable = folder.join(binary.file_name().context("a binary has a name")?);
                std::fs::copy(binary, &reachable)?;
                spawn(&reachable)
            }
            _ => Err(error),
        })
    }

    pub(crate) fn spawn(
        command: &mut Command,
        arguments: &[&str],
        environment: &BTreeMap<String, String>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let output = File::create(&log).with_context(|| format!("{}", log.display()))?;
        let child = command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", std::env::var_os("HOME").unwrap_or_default())
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self { child, log })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("{signal} to {pid}"))
    }

    /// SIGKILL, as a power cut or the kernel's memory killer would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Freezes it: to everybody else it is as good as dead.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// SIGTERM, then waits for its end.
    pub async fn stop(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        Ok(self.ended(patience).await)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than `patience`.
    pub async fn ended(&mut self, patience: Duration) -> ExitStatus {
        eventually_within(patience, "the process ends", || {
            let status = self.child.try_wait();
            async move {
                status
                    .map_err(|error| error.to_string())?
                    .ok_or_else(|| "it runs".to_owned())
            }
        })
        .await
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let output = self.output();
            let tail: Vec<_> = output.lines().rev().take(60).collect();
            eprintln!("--- the last lines of {} ---", self.log.display());
            for line in tail.into_iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// A binary of this workspace, beside the test that asks.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test
        .parent()
        .and_then(Path::parent)
        .context("a test lies in target/<profile>/deps")?;
    let path = folder.join(name);
    if !path.exists() {
        bail!(
            "{} is not built: run `cargo build --workspace --bins` first",
            path.display()
        );
    }
    Ok(path)
}

/// Whether a process exists and is not merely waiting to be reaped.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The state is the first field behind the name, which may itself hold spaces and brackets.
    stat.rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next())
        .is_some_and(|state| state != "Z")
}

/// The living processes whose environment holds `entry`, such as `ORCHESTRATUM_TASK_ID=…`.
pub fn processes_with_environment(entry: &str) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|process| process.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|found| found == entry.as_bytes())
                && is_alive(*pid)
        })
        .collect()
}
