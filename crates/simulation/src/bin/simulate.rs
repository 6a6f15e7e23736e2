//! Runs the simulation by hand: one seed with its story, or as many as there is time for.

use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use orchestratum_simulation::{Mutant, Settings, Size, explain, swarm};

#[derive(Debug, Parser)]
#[command(about = "Runs seeded schedules of the task protocol and checks its invariants")]
struct Arguments {
    /// Run this seed only, and print everything that happens.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Large schedules: more tasks, workers, calls and faults.
    #[arg(long)]
    long: bool,
    /// Plant a deliberate bug; needs the feature `mutants`.
    #[arg(long)]
    mutant: Option<String>,
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mutant = arguments.mutant.as_deref().map(find_mutant).transpose()?;
    let settings = Settings {
        size: if arguments.long { Size::Long } else { Size::Small },
        mutant,
    };
    if let Some(seed) = arguments.seed {
        print!("{}", explain(settings, seed));
        return Ok(ExitCode::SUCCESS);
    }
    let threads = match arguments.threads {
        Some(threads) => threads,
        None => available_parallelism().context("cannot count the processors")?.get(),
    };
    let started = stopwatch();
    let summary = swarm(settings, &(arguments.from..arguments.from + arguments.seeds), threads);
    let seconds = stopwatch().duration_since(started).as_secs_f64();
    println!(
        "{} schedules, {:.1} steps each, {seconds:.1} s, {:.2} million schedules a minute on {threads} threads",
        summary.schedules,
        summary.steps as f64 / summary.schedules.max(1) as f64,
        summary.schedules as f64 / seconds * 60.0 / 1e6,
    );
    println!("not reached: {:?}", summary.coverage.missing_markers());
    if let Some(failure) = summary.failure {
        print!("{}", explain(settings, failure.seed));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn find_mutant(name: &str) -> Result<Mutant> {
    if !cfg!(feature = "mutants") {
        bail!("mutants need --features mutants");
    }
    let names = || {
        Mutant::ALL
            .iter()
            .map(|mutant| mutant.name())
            .collect::<Vec<_>>()
            .join(", ")
    };
    Mutant::by_name(name).with_context(|| format!("{name} is none of {}", names()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "it times the simulator; the world inside has a clock of its own"
)]
fn stopwatch() -> Instant {
    Instant::now()
}
