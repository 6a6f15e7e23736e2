//! What isolation costs by itself: `/bin/true` behind walls, beside a plain process; and how soon a tree of processes is dead.
//!
//! The worker's own program keeps the programs, as it does for tasks, and nothing of tasks is around it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use orchestratum_sandbox::{Command, Isolation, Running, Sandbox, Shim};

use crate::arguments::Measure;
use crate::bench::Bench;
use crate::machine::{descendants_of, monotonic_now};
use crate::results::{Results, System, median};
use crate::systems::wait_for;

const PROCESSES: usize = 200;
const START_LIMIT: Duration = Duration::from_secs(60);
/// The pause between two looks at whether a program runs.
const PAUSE: Duration = Duration::from_millis(1);

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let sandbox = full(bench).await?;
    let times = Times::of_runs(&sandbox, bench.sizes.sandbox_runs).await?;
    let (plain, ready, new) = (median(&times.plain), median(&times.ready), median(&times.new));
    let mut kills = Vec::new();
    for _ in 0..bench.sizes.sandbox_kills {
        kills.push(kill(&sandbox).await?);
    }
    let slowest = kills.iter().copied().fold(0.0, f64::max);
    let mut add = |figure, value| results.add(Measure::Sandbox, system, figure, value);
    add("plain process ms", plain);
    add("ready cell ms", ready);
    add("new cell ms", new);
    add("new cell, more ms", new - plain);
    add("kill of 200 ms", median(&kills));
    add("slowest kill of 200 ms", slowest);
    Ok(())
}

/// Programs at the level whose price all of these measures are about.
pub(super) async fn full(bench: &Bench) -> Result<Sandbox> {
    let shim = Shim::at(bench.program("orchestratum-worker")?);
    let opened = Sandbox::open(shim, Isolation::Full, Vec::new(), None).await;
    opened.context("code is measured at full isolation, which cannot be had on this machine")
}

/// Milliseconds from the start of `/bin/true` until its end is known.
#[derive(Debug, Default)]
struct Times {
    plain: Vec<f64>,
    /// Where the walls stand already, as they do for all but the first programs of a worker.
    ready: Vec<f64>,
    /// Where nothing is prepared: the namespaces, the root and the disk are made for it.
    new: Vec<f64>,
}

impl Times {
    /// In turns, so that what drifts on the machine drifts for all.
    async fn of_runs(sandbox: &Sandbox, runs: u32) -> Result<Self> {
        let mut times = Self::default();
        let command = Command::new("/bin/true");
        let mut occupants = Vec::new();
        for _ in 0..runs {
            let started = monotonic_now();
            let status = tokio::process::Command::new("/bin/true").status().await?;
            times.plain.push(started.elapsed().as_secs_f64() * 1_000.0);
            ensure!(status.success(), "/bin/true ended with {status}");
            times.ready.push(run(sandbox, &command).await?);
            // It has the cell that is ready, so the next one gets a new one.
            occupants.push(occupant(sandbox).await?);
            times.new.push(run(sandbox, &command).await?);
        }
        for mut occupant in occupants {
            occupant.stop(Duration::ZERO).await?;
        }
        Ok(times)
    }
}

async fn run(sandbox: &Sandbox, command: &Command) -> Result<f64> {
    let started = monotonic_now();
    let finished = sandbox.spawn(command).await?.wait().await?;
    let milliseconds = started.elapsed().as_secs_f64() * 1_000.0;
    ensure!(finished.exit.is_success(), "/bin/true ended with {}", finished.exit);
    Ok(milliseconds)
}

/// A program that does nothing for long, running.
async fn occupant(sandbox: &Sandbox) -> Result<Running> {
    started(sandbox, "echo up; exec sleep 600").await
}

/// A shell that says when it is up.
async fn started(sandbox: &Sandbox, script: &str) -> Result<Running> {
    let running = sandbox
        .spawn(&Command::new("/bin/sh").arguments(["-c", script]))
        .await?;
    let written = running.written().clone();
    wait_for("a program to start", START_LIMIT, PAUSE, async || {
        Ok(written.take(1)[0].is_some())
    })
    .await?;
    Ok(running)
}

/// How long it takes from the order until the end is told of a tree of processes, of which then nobody is left.
async fn kill(sandbox: &Sandbox) -> Result<f64> {
    let own = std::process::id();
    let before = descendants_of(own)?;
    let script = format!("i=1; while [ $i -lt {PROCESSES} ]; do sleep 600 & i=$((i+1)); done; echo up; wait");
    let mut running = started(sandbox, &script).await?;
    let there = descendants_of(own)?.saturating_sub(before);
    ensure!(there >= PROCESSES, "{there} processes are there and not {PROCESSES}");
    let ordered = monotonic_now();
    running.killer().kill();
    running.wait().await?;
    let milliseconds = ordered.elapsed().as_secs_f64() * 1_000.0;
    let left = descendants_of(own)?.saturating_sub(before);
    ensure!(left == 0, "{left} of {PROCESSES} processes are left");
    Ok(milliseconds)
}
