//! Programs, thousands of them one after the other, that each leave something behind: what of it stays with the worker, and
//! what the worker has grown by. Once: a leak adds up within the run.

use std::time::Duration;

use anyhow::{Context, Result};
use orchestratum_testkit::{Traces, resident_bytes, task_that_leaves_something};
use tokio::time::{Instant, sleep};

use super::{fill_with, sandbox, wait_until_done};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System};
use crate::systems::orchestratum::Deployment;

/// What goes last may take a moment: connections, and the cells that were replaced.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    sandbox::full(bench).await?;
    let work_folder = bench.new_folder()?;
    let settings = vec![("WORKER__WORK_DIR", work_folder.clone().into_os_string())];
    let mut deployment = Deployment::start_with(bench, system, settings).await?;
    deployment.start_worker().await?;
    let worker = deployment.worker_process().context("the worker runs")?;
    let tasks = bench.sizes.soak_tasks;
    let warm_up = tasks / 10;
    run(&mut deployment, warm_up).await?;
    let (then, size) = (Traces::of(worker, &work_folder)?, resident_bytes(worker)?);
    run(&mut deployment, tasks).await?;
    let deadline = Instant::now() + PATIENCE;
    let left = loop {
        let left = Traces::of(worker, &work_folder)?.since(then);
        if left.is_nothing() || Instant::now() >= deadline {
            break left;
        }
        sleep(PAUSE).await;
    };
    let grown = resident_bytes(worker)?.saturating_sub(size);
    let stretch = deployment.records().await?.drained(warm_up + tasks).await?;
    let Traces {
        open_files,
        mounts,
        work_files,
        groups,
        processes,
        zombies,
    } = left;
    let mut add = |figure, value| results.add(Measure::Soak, system, figure, value);
    add("tasks", f64::from(tasks));
    add("tasks/s", stretch.tasks_per_second());
    add("grown MiB", grown as f64 / f64::from(1 << 20));
    add("left open files", open_files as f64);
    add("left mounts", mounts as f64);
    add("left files", work_files as f64);
    add("left groups", groups as f64);
    add("left processes", processes as f64);
    add("left zombies", zombies as f64);
    let everything = open_files + mounts + work_files + groups + processes + zombies;
    add("left", everything as f64);
    deployment.remove().await
}

async fn run(deployment: &mut Deployment, tasks: u32) -> Result<()> {
    fill_with(deployment, tasks, task_that_leaves_something).await?;
    wait_until_done(deployment).await
}
