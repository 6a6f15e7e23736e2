//! Runs the simulation by hand: one seed with its story, or as many as there is time for.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use orchestratum_simulation::{Mutant, Settings, Size, Subject, Summary, explain, swarm};

/// With a time to go on for: how often it says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// Where neither a number nor a time is given.
const SEEDS: u64 = 1_000_000;

#[derive(Debug, Parser)]
#[command(about = "Runs seeded schedules of the task protocol and checks its invariants")]
struct Arguments {
    /// Run this seed only, and print everything that happens.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to run: 1,000,000 where no time is given, and with one at least so many.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Schedules of sagas, and not of single tasks.
    #[arg(long, conflicts_with = "twice")]
    sagas: bool,
    /// Large schedules: more tasks, workers, calls and faults.
    #[arg(long)]
    long: bool,
    /// Each seed with its faults and without: every task must end in the same way.
    #[arg(long)]
    twice: bool,
    /// Go on for so long at least.
    #[arg(long)]
    seconds: Option<u64>,
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
        subject: if arguments.sagas {
            Subject::Sagas
        } else {
            Subject::Tasks
        },
        size: if arguments.long { Size::Long } else { Size::Small },
        twice: arguments.twice,
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
    let elapsed = || stopwatch().duration_since(started);
    let (mut total, mut told) = (Summary::default(), Duration::ZERO);
    let mut next = arguments.from;
    loop {
        let seeds = match arguments.seconds {
            Some(_) => next..next + settings.seeds_a_round(),
            None => next..next + arguments.seeds.unwrap_or(SEEDS),
        };
        next = seeds.end;
        total.add(swarm(settings, &seeds, threads));
        let is_over = arguments.seconds.is_none_or(|seconds| {
            let wanted = arguments.seeds.unwrap_or(0);
            elapsed() >= Duration::from_secs(seconds) && next - arguments.from >= wanted
        });
        if total.failure.is_some() || is_over {
            break;
        }
        if elapsed() >= told + TELL_EVERY {
            told = elapsed();
            println!("{}", figures(&total, told, threads));
        }
    }
    match settings.subject {
        Subject::Sagas => println!("not reached: {:?}", total.coverage.missing_saga_markers()),
        Subject::Tasks if settings.twice => {}
        Subject::Tasks => println!("not reached: {:?}", total.coverage.missing_markers()),
    }
    println!("{}", figures(&total, elapsed(), threads));
    if let Some(failure) = total.failure {
        print!("{}", explain(settings, failure.seed));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn figures(summary: &Summary, elapsed: Duration, threads: usize) -> String {
    let seconds = elapsed.as_secs_f64();
    let count = summary.schedules;
    let mut figures = format!(
        "{count} schedules, {:.1} steps each, {seconds:.1} s, {:.2} million schedules a minute on {threads} threads",
        summary.steps as f64 / count.max(1) as f64,
        count as f64 / seconds * 60.0 / 1e6,
    );
    if summary.took_another_way > 0 {
        let _ = write!(
            figures,
            ", {} took another way to the same end",
            summary.took_another_way
        );
    }
    figures
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
