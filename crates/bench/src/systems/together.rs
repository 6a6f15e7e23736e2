//! Programs that start together: each says `ready`, is told to go, and tells the times of its first and last work.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::timeout;

use super::Stretch;
use crate::machine::Program;

const LIMIT: Duration = Duration::from_secs(300);

/// Runs them to their end. So many tasks are what all of them do together.
pub(crate) async fn run_together(name: &str, commands: Vec<Command>, tasks: u32, folder: &Path) -> Result<Stretch> {
    let mut programs = Vec::new();
    for (number, command) in commands.into_iter().enumerate() {
        let (program, input, output) = Program::start_talking(&format!("{name}-{number}"), command, folder)?;
        programs.push((program, input, BufReader::new(output).lines()));
    }
    for (program, _, lines) in &mut programs {
        if next_line(lines).await?.as_deref() != Some("ready") {
            bail!("{name} did not start: {}", program.last_words());
        }
    }
    for (_, input, _) in &mut programs {
        input.write_all(b"go\n").await?;
    }
    let mut stretch = Stretch {
        tasks,
        first_started_micros: i64::MAX,
        last_finished_micros: 0,
    };
    for (program, _, lines) in &mut programs {
        let line = next_line(lines).await?.with_context(|| program.last_words())?;
        let (first, last) = line
            .split_once(' ')
            .with_context(|| format!("{name} tells two times"))?;
        stretch.first_started_micros = stretch.first_started_micros.min(first.parse()?);
        stretch.last_finished_micros = stretch.last_finished_micros.max(last.parse()?);
    }
    Ok(stretch)
}

async fn next_line(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Option<String>> {
    let line = timeout(LIMIT, lines.next_line()).await;
    Ok(line.context("a client took too long")??)
}
