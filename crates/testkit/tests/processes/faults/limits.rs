//! Tasks of few keys while the processes that hold and hand on their places are killed: no place is lost, and none is given twice.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use orchestratum_testkit::{Cluster, eventually_within, rounds};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

const TASKS: usize = 120;

const KEYS: usize = 3;

const LIMIT: usize = 2;

/// Each takes a moment; some fail first and wait for another try.
fn task(number: usize) -> Value {
    let fails = if number.is_multiple_of(4) {
        "[ $ORCHESTRATUM_ATTEMPT -gt 1 ] || exit 1"
    } else {
        "true"
    };
    json!({
        "name": "shell", "input": {"command": format!("sleep 0.05; {fails}")}, "labels": {"key": (number % KEYS).to_string()},
        "concurrency": {"key": "key-${ task.labels.key }", "limit": LIMIT},
        "max_losses": 100, "max_retries": 100, "backoff": {"kind": "fixed", "delay_seconds": 0.1}
    })
}

/// How many are over; and that no key has more running than it may.
async fn over(cluster: &Cluster) -> anyhow::Result<usize> {
    let running = cluster.api.json("/api/tasks?status=InProgress&limit=100").await?;
    let mut of_keys: BTreeMap<String, usize> = BTreeMap::new();
    for task in running["items"].as_array().with_context(|| running.to_string())? {
        *of_keys.entry(task["concurrency"]["key"].to_string()).or_default() += 1;
    }
    assert!(of_keys.values().all(|count| *count <= LIMIT), "{of_keys:?}");
    let stats = cluster.api.json("/api/tasks/stats").await?;
    let completed = stats["by_status"]["Completed"]
        .as_u64()
        .with_context(|| stats.to_string())?;
    Ok(usize::try_from(completed)?)
}

async fn until_over(cluster: &Cluster, count: usize) {
    let what = format!("{count} tasks are completed");
    eventually_within(PATIENCE, &what, || async {
        match over(cluster).await {
            Ok(done) if done >= count => Ok(()),
            Ok(done) => Err(done.to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_place_is_lost_or_given_twice_while_worker_and_api_are_killed() -> anyhow::Result<()> {
    for _ in rounds("places under kills", 1) {
        let mut cluster = Cluster::builder().workers(2).start().await?;
        let tasks: Vec<Value> = (0..TASKS).map(task).collect();
        cluster
            .api
            .post("/api/tasks/batch")
            .json(&json!({"tasks": tasks}))
            .send()
            .await?
            .error_for_status()?;
        for fifth in 1..5 {
            until_over(&cluster, TASKS * fifth / 5).await;
            cluster.workers[0].kill()?;
            cluster.workers.remove(0);
            if fifth % 2 == 0 {
                cluster.restart_api().await?;
            }
            cluster.start_worker()?;
        }
        until_over(&cluster, TASKS).await;
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    }
    Ok(())
}
