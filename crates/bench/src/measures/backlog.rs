//! Whether a long queue slows down its head: the first tasks of a backlog ten times as long, against as many alone.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{DRAIN_LIMIT, fill, wait_until_done, warm_up};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System};
use crate::systems::orchestratum::{Deployment, Work};
use crate::systems::{Stretch, wait_for};

const WARM_UP_TASKS: u32 = 300;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let few = bench.sizes.drain_tasks;
    let alone = first(bench, system, few, few).await?.tasks_per_second();
    let of_many = first(bench, system, few, bench.sizes.backlog_tasks)
        .await?
        .tasks_per_second();
    let mut add = |figure, value| results.add(Measure::Backlog, system, figure, value);
    add("alone tasks/s", alone);
    add("first of many tasks/s", of_many);
    // Of two runs that followed each other: the machine was the same for both.
    add("part", of_many / alone);
    Ok(())
}

async fn first(bench: &Bench, system: System, tasks: u32, waiting: u32) -> Result<Stretch> {
    let mut deployment = Deployment::start(bench, system).await?;
    if system != System::Sqlite {
        warm_up(&mut deployment, Work::Echo, WARM_UP_TASKS).await?;
    }
    fill(&deployment, Work::Echo, waiting).await?;
    bench.postgres.checkpoint().await?;
    deployment.start_worker().await?;
    if tasks == waiting {
        wait_until_done(&mut deployment).await?;
    } else {
        let most = i64::from(waiting - tasks);
        let mut records = deployment.records().await?;
        wait_for(
            "the first tasks to end",
            DRAIN_LIMIT,
            Duration::from_millis(250),
            async || {
                deployment.check()?;
                Ok(records.open().await? <= most)
            },
        )
        .await?;
    }
    let mut times = deployment.records().await?.times().await?;
    deployment.remove().await?;
    times.sort_unstable_by_key(|task| task.finished_micros);
    times.truncate(tasks as usize);
    let started = times.iter().map(|task| task.started_micros).min();
    let finished = times.last().map(|task| task.finished_micros);
    Ok(Stretch {
        tasks,
        first_started_micros: started.context("tasks were done")?,
        last_finished_micros: finished.context("tasks were done")?,
    })
}
