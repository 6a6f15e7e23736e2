//! Programs, many of them one after the other, leave nothing with the worker that ran them.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use orchestratum_testkit::{Cluster, eventually_within, rounds};
use serde_json::json;

use super::PATIENCE;

/// At a time. A soak repeats them.
const PROGRAMS: usize = 500;

/// What a worker that has run so many programs may have gained in memory.
const GROWTH_MAX_BYTES: u64 = 5 << 20;

/// What a worker has, counted by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Has {
    open_files: usize,
    mounts: usize,
    work_files: usize,
    groups: usize,
}

fn count(folder: impl AsRef<std::path::Path>, has: impl Fn(&str) -> bool) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| has(&entry.file_name().to_string_lossy()))
        .count()
}

fn has(worker: u32, work_folder: &std::path::Path) -> anyhow::Result<Has> {
    let group = format!("orchestratum-{worker}-");
    let own = fs::read_to_string(format!("/proc/{worker}/cgroup"))?;
    let memory = own.lines().find_map(|line| line.split(":memory:").nth(1)).unwrap_or("");
    Ok(Has {
        open_files: count(format!("/proc/{worker}/fd"), |_| true),
        mounts: fs::read_to_string(format!("/proc/{worker}/mountinfo"))?.lines().count(),
        work_files: walk(work_folder),
        groups: count(format!("/sys/fs/cgroup/memory{memory}"), |name| {
            name.starts_with(&group)
        }),
    })
}

fn walk(folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| 1 + if entry.path().is_dir() { walk(&entry.path()) } else { 0 })
        .sum()
}

fn resident_bytes(worker: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{worker}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kibibytes.context("the kernel tells the size of a process")? * 1024)
}

/// Processes whose parent is the worker and that are dead.
fn zombies(worker: u32) -> usize {
    count("/proc", |name| {
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(&format!("Z {worker} ")))
    })
}

async fn run_programs(cluster: &Cluster) -> anyhow::Result<()> {
    let python =
        json!({"name": "python", "input": {"code": "def main(input):\n    open('kept', 'w').write('x' * 10000)"}});
    let shell = json!({"name": "shell", "input": {"command": "echo x > kept; (sleep 600 &)"}});
    let tasks: Vec<_> = (0..PROGRAMS)
        .map(|number| if number % 10 == 0 { &shell } else { &python })
        .collect();
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
    let (before, size) = (has(worker, folder.path())?, resident_bytes(worker)?);
    for _ in rounds("many programs", 1) {
        run_programs(&cluster).await?;
        // Connections to the servers come and go.
        eventually_within(Duration::from_secs(10), "nothing is left", || async {
            let now = has(worker, folder.path()).map_err(|error| error.to_string())?;
            let zombies = zombies(worker);
            if now.open_files <= before.open_files + 4
                && (now.mounts, now.work_files, now.groups) == (before.mounts, before.work_files, before.groups)
                && zombies == 0
            {
                Ok(())
            } else {
                Err(format!("{before:?} became {now:?}, {zombies} zombies"))
            }
        })
        .await;
        let grown = resident_bytes(worker)?.saturating_sub(size);
        assert!(grown <= GROWTH_MAX_BYTES, "the worker has {grown} bytes more");
    }
    Ok(())
}
