//! How fast a backlog of no-op tasks is worked off, and what CPU time that takes.
//!
//! The tasks wait before any worker runs; then the worker starts. The clock runs from the start of the first handler to the
//! end of the last task as the database has it, so what a worker needs to start does not count; for the CPU time it does.

use anyhow::{Result, bail};

use super::{DRAIN_LIMIT, fill, wait_until_done, warm_up};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System};
use crate::systems::celery::Fleet;
use crate::systems::orchestratum::{Deployment, Work};
use crate::systems::{Stretch, pgbench};

/// With SQLite nothing is warmed up: its table could not be emptied for the measuring.
const WARM_UP_TASKS: u32 = 300;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let tasks = bench.sizes.drain_tasks;
    let (stretch, cpu_seconds) = match system {
        System::PostgresRabbitmq | System::PostgresAlone | System::Sqlite => product(bench, system, tasks).await?,
        System::Celery | System::CeleryResults => celery(bench, system, tasks).await?,
        System::Pgbench => (pgbench::drain(bench, tasks).await?, None),
        _ => bail!("not drained"),
    };
    let mut add = |figure, value| results.add(Measure::Drain, system, figure, value);
    add("tasks/s", stretch.tasks_per_second());
    if let Some(seconds) = cpu_seconds {
        add("CPU s per 1,000", seconds * 1_000.0 / f64::from(stretch.tasks));
    }
    Ok(())
}

async fn product(bench: &Bench, system: System, tasks: u32) -> Result<(Stretch, Option<f64>)> {
    let mut deployment = Deployment::start(bench, system).await?;
    if system != System::Sqlite {
        warm_up(&mut deployment, Work::Echo, WARM_UP_TASKS).await?;
    }
    fill(&deployment, Work::Echo, tasks).await?;
    bench.postgres.checkpoint().await?;
    // With SQLite the process that will work off the tasks is a new one, whose count begins with its start.
    let watched = if system == System::Sqlite {
        Vec::new()
    } else {
        deployment.processes()
    };
    let before = bench.usage_with(&watched)?;
    deployment.start_worker().await?;
    wait_until_done(&mut deployment).await?;
    let seconds = bench.usage_with(&deployment.processes())?.seconds_since(before);
    let stretch = deployment.records().await?.drained(tasks).await?;
    deployment.remove().await?;
    Ok((stretch, Some(seconds)))
}

async fn celery(bench: &Bench, system: System, tasks: u32) -> Result<(Stretch, Option<f64>)> {
    let mut fleet = Fleet::start(bench, system).await?;
    fleet.start_worker()?;
    fleet.fill(WARM_UP_TASKS, "bench.echo", "warm-up").await?;
    fleet.drained(WARM_UP_TASKS, DRAIN_LIMIT).await?;
    fleet.stop_worker().await?;
    fleet.clear().await?;
    fleet.fill(tasks, "bench.echo", "input").await?;
    bench.postgres.checkpoint().await?;
    let before = bench.usage_with(&[])?;
    fleet.start_worker()?;
    let stretch = fleet.drained(tasks, DRAIN_LIMIT).await?;
    let seconds = bench.usage_with(&fleet.processes())?.seconds_since(before);
    fleet.remove().await?;
    Ok((stretch, Some(seconds)))
}
