//! What concurrency keys cost: tasks of a hundred keys, of which only some may run at a time, against as many plain ones.

use anyhow::Result;
use serde_json::json;

use super::{fill, fill_with, wait_until_done, warm_up};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System};
use crate::systems::orchestratum::{Deployment, Work};

const WARM_UP_TASKS: u32 = 300;

const KEYS: usize = 100;

/// Few enough that most tasks wait for a place, and enough that workers have something to do.
const LIMIT: u32 = 3;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let plain = drained(bench, system, false).await?;
    let keyed = drained(bench, system, true).await?;
    results.add(Measure::Keyed, system, "plain tasks/s", plain);
    results.add(Measure::Keyed, system, "keyed tasks/s", keyed);
    // Of runs that followed each other: the machine was the same for both.
    results.add(Measure::Keyed, system, "keyed : plain", keyed / plain);
    Ok(())
}

async fn drained(bench: &Bench, system: System, keyed: bool) -> Result<f64> {
    let tasks = bench.sizes.keyed_tasks;
    let mut deployment = Deployment::start(bench, system).await?;
    if system != System::Sqlite {
        warm_up(&mut deployment, Work::Echo, WARM_UP_TASKS).await?;
    }
    if keyed {
        fill_with(&deployment, tasks, |number| {
            let mut task = Work::Echo.body();
            task["concurrency"] = json!({"key": format!("key-{}", number % KEYS), "limit": LIMIT});
            task
        })
        .await?;
    } else {
        fill(&deployment, Work::Echo, tasks).await?;
    }
    bench.postgres.checkpoint().await?;
    deployment.start_worker().await?;
    wait_until_done(&mut deployment).await?;
    let stretch = deployment.records().await?.drained(tasks).await?;
    deployment.remove().await?;
    Ok(stretch.tasks_per_second())
}
