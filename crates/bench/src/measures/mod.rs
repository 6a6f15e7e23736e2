//! What is measured, one file each.

mod backlog;
mod balance;
mod chains;
mod code_latency;
mod create;
mod csharp;
mod drain;
mod events;
mod external;
mod groups;
mod history;
mod idle;
mod keyed;
mod latency;
mod memory;
mod neighbour;
mod observer;
mod pacing;
mod python;
mod sagas;
mod sandbox;
mod schedules;
mod soak;

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::arguments::{Arguments, Measure};
use crate::bench::Bench;
use crate::machine::monotonic_now;
use crate::results::{Results, System};
use crate::systems::orchestratum::{Deployment, Setting, Work, batch};
use crate::systems::wait_for;

/// Long enough for the slowest peer on a slow machine.
const DRAIN_LIMIT: Duration = Duration::from_secs(600);
const BATCH: u32 = 1_000;

pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<Results> {
    let mut results = Results::default();
    for measure in arguments.measures() {
        let repeats = repeats(measure, bench.repeats);
        for repeat in 0..repeats {
            for system in rotated(systems(measure), repeat).filter(|system| arguments.has(*system)) {
                println!("{measure:?} {}/{repeats}: {}", repeat + 1, system.label());
                if let Some(reason) = bench.lacks(measure, system) {
                    println!("    left out: {reason}");
                    results.leave_out(measure, system, reason);
                    continue;
                }
                let started = monotonic_now();
                one(bench, measure, system, &mut results)
                    .await
                    .with_context(|| format!("{measure:?} of {}", system.label()))?;
                println!("    took {:.1} s", started.elapsed().as_secs_f64());
            }
        }
    }
    Ok(results)
}

/// A soak is long by itself, and what leaks adds up in it.
fn repeats(measure: Measure, wanted: u32) -> u32 {
    if measure == Measure::Soak { 1 } else { wanted }
}

fn systems(measure: Measure) -> &'static [System] {
    use System::{
        Bubblewrap, Celery, CeleryInterpreter, CeleryResults, Dbos, DotnetCold, Pgbench, PostgresAlone,
        PostgresRabbitmq, Restate, Sandbox, Sqlite, WarmFork,
    };
    match measure {
        Measure::Drain => &[PostgresRabbitmq, PostgresAlone, Sqlite, Celery, CeleryResults, Pgbench],
        Measure::Create => &[PostgresRabbitmq, Sqlite, Celery],
        Measure::Latency => &[PostgresRabbitmq, PostgresAlone, Sqlite, Celery, CeleryResults],
        Measure::Python => &[PostgresRabbitmq, Sqlite, CeleryInterpreter, Bubblewrap, WarmFork],
        Measure::Csharp => &[PostgresRabbitmq, DotnetCold],
        Measure::Sandbox => &[Sandbox],
        Measure::Sagas => &[PostgresRabbitmq, PostgresAlone, Sqlite, Restate, Dbos],
        Measure::Backlog
        | Measure::Chains
        | Measure::Keyed
        | Measure::External
        | Measure::Groups
        | Measure::Balance
        | Measure::Events => &[PostgresRabbitmq, PostgresAlone, Sqlite],
        Measure::CodeLatency | Measure::Neighbour | Measure::Soak | Measure::Schedules | Measure::History => {
            &[PostgresRabbitmq]
        }
        Measure::Memory | Measure::Idle => &[PostgresRabbitmq, PostgresAlone],
    }
}

/// Another one goes first each time, so that what drifts on the machine drifts for all.
fn rotated(systems: &'static [System], repeat: u32) -> impl Iterator<Item = System> {
    let first = repeat as usize % systems.len();
    let (before, after) = systems.split_at(first);
    after.iter().chain(before).copied()
}

async fn one(bench: &Bench, measure: Measure, system: System, results: &mut Results) -> Result<()> {
    match measure {
        Measure::Drain => drain::measure(bench, system, results).await,
        Measure::Create => create::measure(bench, system, results).await,
        Measure::Latency => latency::measure(bench, system, results).await,
        Measure::Python => python::measure(bench, system, results).await,
        Measure::CodeLatency => code_latency::measure(bench, system, results).await,
        Measure::Csharp => csharp::measure(bench, system, results).await,
        Measure::Sandbox => sandbox::measure(bench, system, results).await,
        Measure::Neighbour => neighbour::measure(bench, system, results).await,
        Measure::Soak => soak::measure(bench, system, results).await,
        Measure::Backlog => backlog::measure(bench, system, results).await,
        Measure::Chains => chains::measure(bench, system, results).await,
        Measure::Keyed => keyed::measure(bench, system, results).await,
        Measure::Schedules => schedules::measure(bench, system, results).await,
        Measure::External => external::measure(bench, system, results).await,
        Measure::Groups => groups::measure(bench, system, results).await,
        Measure::Sagas => sagas::measure(bench, system, results).await,
        Measure::Balance => balance::measure(bench, system, results).await,
        Measure::Events => events::measure(bench, system, results).await,
        Measure::History => history::measure(bench, system, results).await,
        Measure::Memory => memory::measure(bench, system, results).await,
        Measure::Idle => idle::measure(bench, system, results).await,
    }
}

/// Creates so many tasks, over HTTP, in batches.
pub(crate) async fn fill(deployment: &Deployment, work: Work, tasks: u32) -> Result<()> {
    fill_with(deployment, tasks, |_| work.body()).await
}

/// The same with tasks by their number in a batch.
async fn fill_with(deployment: &Deployment, tasks: u32, task: impl Fn(usize) -> Value) -> Result<()> {
    const IN_FLIGHT: u32 = 2;
    let server = deployment.server()?;
    let path = "/api/tasks/batch";
    let batch_of = |count: u32| batch(&(0..count as usize).map(&task).collect::<Vec<_>>());
    if tasks >= BATCH {
        server
            .post_all(path, &batch_of(BATCH)?, tasks / BATCH, IN_FLIGHT)
            .await?;
    }
    if !tasks.is_multiple_of(BATCH) {
        server.post_all(path, &batch_of(tasks % BATCH)?, 1, 1).await?;
    }
    Ok(())
}

/// Waits until nothing is left to do. The count is asked for rarely: it is work for the database.
async fn wait_until_done(deployment: &mut Deployment) -> Result<()> {
    let mut records = deployment.records().await?;
    wait_for(
        "the tasks to end",
        DRAIN_LIMIT,
        Duration::from_millis(250),
        async || {
            deployment.check()?;
            Ok(records.open().await? == 0)
        },
    )
    .await
}

/// An installation that runs and has just done some work: whatever is slow for the first tasks is over.
async fn warm(bench: &Bench, system: System, settings: Vec<Setting>, work: Work, tasks: u32) -> Result<Deployment> {
    let mut deployment = Deployment::start_with(bench, system, settings).await?;
    deployment.start_worker().await?;
    fill(&deployment, work, tasks).await?;
    wait_until_done(&mut deployment).await?;
    bench.postgres.checkpoint().await?;
    Ok(deployment)
}

/// Runs some tasks and forgets them: queues and tables are there then, and caches are warm.
async fn warm_up(deployment: &mut Deployment, work: Work, tasks: u32) -> Result<()> {
    deployment.start_worker().await?;
    fill(deployment, work, tasks).await?;
    wait_until_done(deployment).await?;
    deployment.stop_worker().await?;
    deployment.records().await?.clear().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_goes_first_once() {
        let systems = systems(Measure::Drain);
        let firsts: Vec<System> = (0..6).filter_map(|repeat| rotated(systems, repeat).next()).collect();
        assert_eq!(firsts, systems);
        assert!((0..6).all(|repeat| rotated(systems, repeat).count() == systems.len()));
    }
}
