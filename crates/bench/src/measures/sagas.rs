//! What sagas cost: orders of four no-op tasks, each issued by the step that takes in the end of the one before, against as many
//! plain tasks; and how many orders a second go through from the call that starts them to their end, beside the peers.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{DRAIN_LIMIT, fill, wait_until_done, warm_up};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::machine::monotonic_now;
use crate::results::{Results, System};
use crate::systems::orchestratum::{Deployment, ORDER_TASKS, Story, Work};
use crate::systems::{Stretch, Together, wait_for};

const WARM_UP_ORDERS: u32 = 100;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let orders = bench.sizes.orders;
    let mut add = |figure, value| results.add(Measure::Sagas, system, figure, value);
    match system {
        System::PostgresRabbitmq | System::PostgresAlone | System::Sqlite => {
            let tasks = orders * ORDER_TASKS;
            let plain = plain(bench, system, tasks).await?.tasks_per_second();
            let stepped = stepped(bench, system, orders).await?.tasks_per_second();
            add("plain tasks/s", plain);
            add("tasks of sagas/s", stepped);
            // Of runs that followed each other: the machine was the same for both.
            add("sagas : plain", stepped / plain);
            add("orders/s", started_to_ended(bench, system, orders).await?);
        }
        System::Restate => {
            let restate = bench.restate.as_ref().ok().context("there is no Restate")?;
            peer(&restate.orders(bench, orders).await?, add);
        }
        System::Dbos => {
            let dbos = bench.dbos.as_ref().ok().context("there is no DBOS")?;
            peer(&dbos.orders(bench, orders).await?, add);
        }
        _ => bail!("runs no orders"),
    }
    Ok(())
}

/// From the first call to the last end.
fn peer(together: &Together, mut add: impl FnMut(&'static str, f64)) {
    let orders = f64::from(together.stretch.tasks) / f64::from(ORDER_TASKS);
    let steps_per_second = together.stretch.tasks_per_second();
    add("steps/s", steps_per_second);
    add("orders/s", steps_per_second / f64::from(ORDER_TASKS));
    add("CPU s per 1,000 orders", together.cpu_seconds * 1_000.0 / orders);
}

async fn plain(bench: &Bench, system: System, tasks: u32) -> Result<Stretch> {
    let mut deployment = Deployment::start(bench, system).await?;
    if system != System::Sqlite {
        warm_up(&mut deployment, Work::Echo, WARM_UP_ORDERS * ORDER_TASKS).await?;
    }
    fill(&deployment, Work::Echo, tasks).await?;
    drained(bench, deployment, tasks).await
}

/// The first task of each waits before any worker runs.
async fn stepped(bench: &Bench, system: System, orders: u32) -> Result<Stretch> {
    let mut deployment = Deployment::start(bench, system).await?;
    deployment.define(Story::Order).await?;
    if system != System::Sqlite {
        deployment.start_worker().await?;
        deployment.start_sagas(Story::Order, WARM_UP_ORDERS).await?;
        wait_until_over(&mut deployment).await?;
        deployment.stop_worker().await?;
        deployment.records().await?.clear().await?;
    }
    deployment.start_sagas(Story::Order, orders).await?;
    drained(bench, deployment, orders * ORDER_TASKS).await
}

async fn drained(bench: &Bench, mut deployment: Deployment, tasks: u32) -> Result<Stretch> {
    bench.postgres.checkpoint().await?;
    deployment.start_worker().await?;
    wait_until_over(&mut deployment).await?;
    let mut records = deployment.records().await?;
    let mut stretch = records.drained(tasks).await?;
    // A saga is over after its last task.
    let ended = records.ended_sagas().await?.into_iter().max();
    stretch.last_finished_micros = stretch.last_finished_micros.max(ended.unwrap_or_default());
    drop(records);
    deployment.remove().await?;
    Ok(stretch)
}

/// Orders a second, while worker and api run: from the first call to the end of the last saga.
async fn started_to_ended(bench: &Bench, system: System, orders: u32) -> Result<f64> {
    let mut deployment = Deployment::start(bench, system).await?;
    deployment.define(Story::Order).await?;
    deployment.start_worker().await?;
    deployment.start_sagas(Story::Order, WARM_UP_ORDERS).await?;
    wait_until_over(&mut deployment).await?;
    bench.postgres.checkpoint().await?;
    let started = monotonic_now();
    deployment.start_sagas(Story::Order, orders).await?;
    wait_until_over(&mut deployment).await?;
    let seconds = started.elapsed().as_secs_f64();
    deployment.remove().await?;
    Ok(f64::from(orders) / seconds)
}

/// Waits until no task is to be done and no saga goes on.
async fn wait_until_over(deployment: &mut Deployment) -> Result<()> {
    let mut records = deployment.records().await?;
    let interval = Duration::from_millis(50);
    wait_for("the sagas to end", DRAIN_LIMIT, interval, async || {
        deployment.check()?;
        Ok(records.open_sagas().await? == 0)
    })
    .await?;
    wait_until_done(deployment).await
}
