//! A warm interpreter that forks for each task without any isolation, one for each processor, and nothing around it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Stretch;
use super::interpreter::Interpreter;
use super::together::run_together;
use crate::load::shares;

const SCRIPT: &str = include_str!("../../python/warm_fork.py");

pub(crate) async fn drain(
    interpreter: &Interpreter,
    code: &str,
    tasks: u32,
    lanes: u32,
    folder: &Path,
) -> Result<Stretch> {
    let script = folder.join("warm_fork.py");
    tokio::fs::write(&script, SCRIPT)
        .await
        .context("cannot write the script")?;
    let commands = shares(tasks, lanes).map(|share| {
        let mut command = Command::new(&interpreter.program);
        // As the product's own.
        command.args(["-I", "-B", "-X", "utf8"]);
        command.arg(&script).arg(share.to_string()).arg(code);
        command
    });
    let together = run_together("warm-fork", commands.collect(), tasks, folder, &[]).await?;
    Ok(together.stretch)
}
