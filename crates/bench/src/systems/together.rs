//! Programs that start together: each says `ready`, is told to go, and tells the times of its first and last work.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::timeout;

use super::Stretch;
use crate::machine::{Program, Usage};

const LIMIT: Duration = Duration::from_secs(300);

/// What several programs did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Together {
    pub(crate) stretch: Stretch,
    /// Theirs and that of the servers, from the start to the last time that was told.
    pub(crate) cpu_seconds: f64,
}

/// Runs them until each has told its times, and ends those that are still there. So many tasks are what all of them do together.
pub(crate) async fn run_together(
    name: &str,
    commands: Vec<Command>,
    tasks: u32,
    folder: &Path,
    servers: &[u32],
) -> Result<Together> {
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
    let ids = programs.iter().map(|(program, ..)| program.process_id());
    let processes: Vec<u32> = ids.chain(servers.iter().copied()).collect();
    let before = Usage::of(&processes)?;
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
    Ok(Together {
        stretch,
        cpu_seconds: Usage::of(&processes)?.seconds_since(before),
    })
}

async fn next_line(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Option<String>> {
    let line = timeout(LIMIT, lines.next_line()).await;
    Ok(line.context("a client took too long")??)
}
