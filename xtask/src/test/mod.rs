//! `cargo xtask test`: everything that must hold before a change lands, in one command.
//!
//! Every step runs, also after one that failed, so that one run tells everything. What to run is in `steps`.

mod counts;
mod prerequisites;
mod steps;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use self::counts::Counts;
use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;
use crate::{csharp, interpreters, services};

/// What a step finds when it begins.
#[derive(Debug)]
struct Session {
    workspace: Workspace,
    addresses: services::Addresses,
    csharp_runtime: PathBuf,
    /// By the variables in which tests look for them.
    interpreters: Vec<(&'static str, PathBuf)>,
}

/// How one step ended.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    took: Duration,
    result: Result<Counts>,
}

pub(crate) fn run() -> Result<()> {
    let total = Stopwatch::start();
    let workspace = Workspace::locate()?;
    prerequisites::check(&workspace)?;
    println!("==> servers");
    let servers = services::provide()?;
    let csharp_runtime = csharp::provide(&workspace)?;
    println!("    C# by {}", csharp_runtime.display());
    let mut interpreters = Vec::new();
    for interpreter in interpreters::ALL {
        let python = interpreter.provide(&workspace)?;
        println!("    {} by {}", interpreter.library, python.display());
        interpreters.push((interpreter.variable, python));
    }
    println!("    ready after {total}");

    let session = Session {
        workspace,
        addresses: servers.addresses().clone(),
        csharp_runtime,
        interpreters,
    };
    let outcomes: Vec<Outcome> = steps::ALL
        .iter()
        .enumerate()
        .map(|(index, step)| perform(&session, index, step))
        .collect();
    drop(servers);
    summarize(&outcomes, &total)
}

fn perform(session: &Session, index: usize, step: &steps::Step) -> Outcome {
    println!("==> [{}/{}] {}", index + 1, steps::ALL.len(), step.name);
    let stopwatch = Stopwatch::start();
    let result = (step.run)(session);
    match &result {
        Ok(_) => println!("    done in {stopwatch}"),
        Err(error) => println!("    FAILED after {stopwatch}: {error:#}"),
    }
    Outcome {
        name: step.name,
        took: stopwatch.elapsed(),
        result,
    }
}

fn summarize(outcomes: &[Outcome], total: &Stopwatch) -> Result<()> {
    println!("==> summary");
    let mut sum = Counts::default();
    let mut failed_steps = 0;
    for Outcome { name, took, result } in outcomes {
        let verdict = match result {
            Ok(counts) => {
                sum.add(*counts);
                "ok"
            }
            Err(error) => {
                failed_steps += 1;
                sum.add(counts::of_failure(error));
                "FAILED"
            }
        };
        println!("    {verdict:<6} {name} ({:.1} s)", took.as_secs_f64());
    }
    println!("    all of it took {total}");
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if failed_steps > 0 {
        bail!("{failed_steps} of {} steps failed", outcomes.len());
    }
    Ok(())
}
