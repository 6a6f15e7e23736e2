//! What is measured, one file each.

mod backlog;
mod create;
mod drain;
mod history;
mod idle;
mod latency;
mod memory;
mod observer;
mod python;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::arguments::{Arguments, Measure};
use crate::bench::Bench;
use crate::results::{Results, System};
use crate::systems::orchestratum::{Deployment, Work, batch};
use crate::systems::wait_for;

/// Long enough for the slowest peer on a slow machine.
const DRAIN_LIMIT: Duration = Duration::from_secs(600);
const BATCH: u32 = 1_000;

pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<Results> {
    let mut results = Results::default();
    for measure in arguments.measures() {
        for repeat in 0..bench.repeats {
            for system in rotated(systems(measure), repeat).filter(|system| arguments.has(*system)) {
                println!("{measure:?} {}/{}: {}", repeat + 1, bench.repeats, system.label());
                one(bench, measure, system, &mut results)
                    .await
                    .with_context(|| format!("{measure:?} of {}", system.label()))?;
            }
        }
    }
    Ok(results)
}

fn systems(measure: Measure) -> &'static [System] {
    use System::{Celery, CeleryInterpreter, CeleryResults, Pgbench, PostgresAlone, PostgresRabbitmq, Sqlite};
    match measure {
        Measure::Drain => &[PostgresRabbitmq, PostgresAlone, Sqlite, Celery, CeleryResults, Pgbench],
        Measure::Create => &[PostgresRabbitmq, Sqlite, Celery],
        Measure::Latency => &[PostgresRabbitmq, PostgresAlone, Sqlite, Celery, CeleryResults],
        Measure::Python => &[PostgresRabbitmq, Sqlite, CeleryInterpreter],
        Measure::Backlog => &[PostgresRabbitmq, PostgresAlone, Sqlite],
        Measure::History => &[PostgresRabbitmq],
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
        Measure::Backlog => backlog::measure(bench, system, results).await,
        Measure::History => history::measure(bench, system, results).await,
        Measure::Memory => memory::measure(bench, system, results).await,
        Measure::Idle => idle::measure(bench, system, results).await,
    }
}

/// Creates so many tasks, over HTTP, in batches.
pub(crate) async fn fill(deployment: &Deployment, work: Work, tasks: u32) -> Result<()> {
    const IN_FLIGHT: u32 = 2;
    let server = deployment.server()?;
    let path = "/api/tasks/batch";
    server
        .post_all(path, &batch(work, BATCH as usize)?, tasks / BATCH, IN_FLIGHT)
        .await?;
    if !tasks.is_multiple_of(BATCH) {
        let rest = batch(work, (tasks % BATCH) as usize)?;
        server.post_all(path, &rest, 1, 1).await?;
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
