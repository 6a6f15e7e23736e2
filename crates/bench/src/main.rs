//! The benchmark: Orchestratum beside its peers, on one machine, in one run.
//!
//! ```text
//!   main ──► measures/<name>  what is measured, in rotated order, over and over
//!              │    └──► results ──► goals ──► report      medians, ratios, a table and a JSON file
//!              ▼
//!            systems/{orchestratum, celery, pgbench, …}    one fresh deployment of a system
//!            systems/{bubblewrap, warm_fork, dotnet}       what runs code without one
//!              │    └──► load        the native keep-alive client
//!              ▼
//!            servers/{postgres, rabbitmq}                  a database and a virtual host of its own
//!            machine/{program, usage, clock}               processes and what they used
//! ```
//!
//! `docs/benchmark.md` says how each figure is taken. Everything is bounded in number and time, stays on loopback, and
//! ends what it started.

mod arguments;
mod bench;
mod goals;
mod load;
mod machine;
mod measures;
mod report;
mod results;
mod servers;
mod systems;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;
use crate::bench::Bench;

// One thread: the client must leave the machine to the systems it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let bench = Bench::prepare(&arguments).await?;
    let outcome = tokio::select! {
        outcome = measures::run(&bench, &arguments) => outcome,
        // Dropping the measures ends every process they started.
        outcome = interrupted() => outcome,
    };
    // Of a run that came to its end nothing is left; of another one there may be.
    bench.clean_up().await?;
    let results = outcome?;

    let verdicts = goals::judge(&results);
    print!("{}", report::tables(&results, &verdicts));
    let path = arguments.json_path();
    report::save(&path, &bench, &arguments, &results, &verdicts).await?;
    println!("Saved as {}.", path.display());
    let missed = verdicts.iter().any(|verdict| !verdict.reached);
    Ok(if arguments.strict && missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn interrupted<T>() -> Result<T> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    bail!("interrupted")
}
