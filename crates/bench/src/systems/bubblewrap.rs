//! bubblewrap, as one would call it for code that is not trusted: one of it and a new interpreter for each task.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use tokio::process::Command;
use tokio::time::timeout;

use super::Stretch;
use super::interpreter::Interpreter;
use crate::load::shares;
use crate::machine::wall_clock_micros;

const PROGRAM: &str = "bwrap";
const TASK_LIMIT: Duration = Duration::from_secs(60);

/// Everything unshared, no capability, nothing of the environment, and of the machine only its system, read-only.
const WALLS: &[&str] = &[
    "--unshare-all",
    "--die-with-parent",
    "--new-session",
    "--clearenv",
    "--cap-drop",
    "ALL",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--tmpfs",
    "/tmp",
    "--chdir",
    "/tmp",
];
const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache"];

#[derive(Debug)]
pub(crate) struct Bubblewrap {
    version: String,
    /// Of it and of the interpreter, all but the code.
    arguments: Vec<PathBuf>,
}

impl Bubblewrap {
    /// # Errors
    /// Why it cannot stand beside the product on this machine, in words.
    pub(crate) async fn find(interpreter: &Interpreter) -> Result<Self, String> {
        let told = |error: &anyhow::Error| format!("{error:#}");
        let version = output(Command::new(PROGRAM).arg("--version"))
            .await
            .map_err(|error| told(&error))?;
        let found = Self {
            version: version.trim().trim_start_matches("bubblewrap ").to_owned(),
            arguments: arguments(interpreter),
        };
        found.run("print(1)", "1\n").await.map_err(|error| told(&error))?;
        Ok(found)
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Runs the code so often, so many at a time, and holds what it prints against what it should.
    pub(crate) async fn drain(&self, code: &str, prints: &str, tasks: u32, lanes: u32) -> Result<Stretch> {
        let first_started_micros = wall_clock_micros();
        let lanes = shares(tasks, lanes).map(|share| async move {
            for _ in 0..share {
                self.run(code, prints).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
        try_join_all(lanes).await?;
        Ok(Stretch {
            tasks,
            first_started_micros,
            last_finished_micros: wall_clock_micros(),
        })
    }

    async fn run(&self, code: &str, prints: &str) -> Result<()> {
        let printed = output(Command::new(PROGRAM).args(&self.arguments).arg(code)).await?;
        ensure!(
            printed == prints,
            "a task in bubblewrap printed {printed:?} and not {prints:?}"
        );
        Ok(())
    }
}

/// The interpreter looks for no packages (`-S`), so that it starts sooner: in its favour.
fn arguments(interpreter: &Interpreter) -> Vec<PathBuf> {
    let mut arguments: Vec<PathBuf> = WALLS.iter().map(PathBuf::from).collect();
    let folders = SYSTEM.iter().map(PathBuf::from);
    for folder in folders.chain([interpreter.folder.clone()]) {
        arguments.extend(["--ro-bind-try".into(), folder.clone(), folder]);
    }
    arguments.push(interpreter.program.clone());
    arguments.extend(["-I", "-S", "-c"].map(PathBuf::from));
    arguments
}

async fn output(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(TASK_LIMIT, command.output()).await;
    let output = output
        .with_context(|| format!("{PROGRAM} did not end within {TASK_LIMIT:?}"))?
        .with_context(|| format!("{PROGRAM} cannot be started"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{PROGRAM} ended with {}: {}",
        output.status,
        errors.trim()
    );
    String::from_utf8(output.stdout).with_context(|| format!("{PROGRAM} printed something that is no text"))
}
