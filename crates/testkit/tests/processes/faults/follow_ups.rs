//! Chains of tasks while the processes that write their links are killed: each link is there once.

use std::time::Duration;

use anyhow::Context;
use orchestratum_testkit::{Cluster, eventually_within, rounds};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

const CHAINS: usize = 200;

const LINKS: usize = 10;

/// Each link counts one on. Some wait a moment, so that a kill meets links in every state.
fn chain() -> Value {
    let last = json!({"name": "echo", "input": "${ input + 1 }", "max_losses": 100});
    let chain = (2..LINKS).fold(last, |next, link| {
        json!({
            "name": "echo", "input": "${ output + 1 }", "max_losses": 100, "on_success": [next],
            "delay_seconds": if link % 3 == 0 { 0.1 } else { 0.0 },
        })
    });
    json!({"name": "echo", "input": 0, "max_losses": 100, "on_success": [chain]})
}

async fn completed(cluster: &Cluster) -> anyhow::Result<usize> {
    let stats = cluster.api.json("/api/tasks/stats").await?;
    let completed = stats["by_status"]["Completed"]
        .as_u64()
        .with_context(|| stats.to_string())?;
    Ok(usize::try_from(completed)?)
}

async fn until_completed(cluster: &Cluster, count: usize) {
    let what = format!("{count} links are completed");
    eventually_within(PATIENCE, &what, || async {
        match completed(cluster).await {
            Ok(done) if done >= count => Ok(()),
            Ok(done) => Err(done.to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_lose_and_double_no_link_while_worker_and_api_are_killed() -> anyhow::Result<()> {
    for _ in rounds("chains under kills", 1) {
        let mut cluster = Cluster::builder().workers(2).start().await?;
        let tasks = json!({"tasks": vec![chain(); CHAINS]});
        let created: Value = cluster
            .api
            .post("/api/tasks/batch")
            .json(&tasks)
            .send()
            .await?
            .json()
            .await?;
        let roots: Vec<String> = created["tasks"]
            .as_array()
            .with_context(|| created.to_string())?
            .iter()
            .filter_map(|task| task["id"].as_str().map(str::to_owned))
            .collect();
        let all = CHAINS * LINKS;
        for tenth in [1, 2, 4, 6, 8] {
            until_completed(&cluster, all * tenth / 10).await;
            cluster.workers[0].kill()?;
            cluster.workers.remove(0);
            if tenth % 4 == 0 {
                cluster.restart_api().await?;
            }
            cluster.start_worker()?;
        }
        until_completed(&cluster, all).await;
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
        for root in &roots {
            let mut task = cluster.api.json(&format!("/api/tasks/{root}/tree")).await?;
            for link in 0..LINKS {
                assert_eq!(
                    (&task["input"], &task["status"]),
                    (&json!(link), &json!("Completed")),
                    "{task}"
                );
                assert_eq!(task["missing_follow_ups"], json!([]), "{task}");
                let mut next = task["follow_ups"].take();
                let next = next.as_array_mut().context("follow-ups")?;
                assert_eq!(next.len(), usize::from(link + 1 < LINKS), "after link {link} of {root}");
                task = next.pop().unwrap_or_default();
            }
        }
        assert_eq!(completed(&cluster).await?, all, "and no other task is there");
    }
    Ok(())
}
