//! Programs, many of them one after the other, leave nothing with the worker that ran them.

use std::time::Duration;

use anyhow::Context;
use orchestratum_testkit::{Cluster, Traces, eventually_within, resident_bytes, rounds, task_that_leaves_something};
use serde_json::json;

use super::PATIENCE;

/// At a time. A soak repeats them, and the benchmark runs 10,000.
const PROGRAMS: usize = 500;

/// What a worker that has run so many programs may have gained in memory.
const GROWTH_MAX_BYTES: u64 = 5 << 20;

async fn run_programs(cluster: &Cluster) -> anyhow::Result<()> {
    let tasks: Vec<_> = (0..PROGRAMS).map(task_that_leaves_something).collect();
    let batch = json!({"tasks": tasks});
    let answer = cluster
        .api
        .post("/api/tasks/batch")
        .json(&batch)
        .send()
        .await?
        .error_for_status()?;
    let created: serde_json::Value = answer.json().await?;
    for task in created["tasks"].as_array().context("tasks")? {
        let id = task["id"].as_str().context("an id")?;
        cluster.api.until(id, "Completed", PATIENCE).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_programs_leave_nothing_with_their_worker() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let work_folder = folder.path().display().to_string();
    let cluster = Cluster::builder()
        .setting("WORKER__WORK_DIR", &work_folder)
        .start()
        .await?;
    let worker = cluster.workers[0].pid();
    run_programs(&cluster).await?;
    let (before, size) = (Traces::of(worker, folder.path())?, resident_bytes(worker)?);
    for _ in rounds("many programs", 1) {
        run_programs(&cluster).await?;
        eventually_within(Duration::from_secs(10), "nothing is left", || async {
            let now = Traces::of(worker, folder.path()).map_err(|error| error.to_string())?;
            if now.since(before).is_nothing() {
                Ok(())
            } else {
                Err(format!("{before:?} became {now:?}"))
            }
        })
        .await;
        let grown = resident_bytes(worker)?.saturating_sub(size);
        assert!(grown <= GROWTH_MAX_BYTES, "the worker has {grown} bytes more");
    }
    Ok(())
}
