//! The interpreter that the product runs `python` tasks with, for those that stand beside it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Interpreter {
    /// Its own: what is called `python3` may be the wrapper of a version manager, whose start takes longer than Python's.
    pub(crate) program: PathBuf,
    /// Where its library is.
    pub(crate) folder: PathBuf,
}

impl Interpreter {
    pub(crate) async fn find() -> Result<Self> {
        let mut command = Command::new("python3");
        command
            .args(["-I", "-c", "import sys; print(sys.executable); print(sys.base_prefix)"])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(LIMIT, command.output())
            .await
            .context("python3 does not answer")?;
        let output = output.context("the benchmark needs python3")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines().map(PathBuf::from);
        let (program, folder) = lines
            .next()
            .zip(lines.next())
            .context("python3 does not say where it is")?;
        ensure!(
            program.is_absolute() && folder.is_absolute(),
            "python3 does not say where it is"
        );
        Ok(Self { program, folder })
    }
}
