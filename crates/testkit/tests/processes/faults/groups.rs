//! Groups while the processes that run and join them are killed: what comes after each is there once, with all outputs.

use std::time::Duration;

use anyhow::Context;
use orchestratum_testkit::{Cluster, eventually_within, rounds};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

const MEMBERS: usize = 400;

/// Of each size, so that some end while others run.
const SMALL: usize = 50;

async fn create(cluster: &Cluster, members: usize) -> anyhow::Result<String> {
    let group = json!({
        "template": {"name": "echo", "max_losses": 100},
        "inputs": (0..members).collect::<Vec<_>>(),
        "on_complete": {"name": "echo", "input": "${ outputs }", "max_losses": 100},
    });
    let created: Value = cluster
        .api
        .post("/api/groups")
        .json(&group)
        .send()
        .await?
        .json()
        .await?;
    let id = created["id"].as_str().with_context(|| created.to_string())?;
    Ok(id.to_owned())
}

async fn until(cluster: &Cluster, what: &str, at_least: usize) {
    eventually_within(PATIENCE, what, || async {
        let stats = cluster
            .api
            .json("/api/tasks/stats")
            .await
            .map_err(|error| error.to_string())?;
        let completed = stats["by_status"]["Completed"].as_u64().unwrap_or(0);
        if completed >= at_least as u64 {
            Ok(())
        } else {
            Err(stats.to_string())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_joined_once_with_all_outputs_while_worker_and_api_are_killed() -> anyhow::Result<()> {
    for _ in rounds("groups under kills", 1) {
        let mut cluster = Cluster::builder().workers(2).start().await?;
        let mut groups = vec![(create(&cluster, MEMBERS).await?, MEMBERS)];
        for _ in 0..4 {
            groups.push((create(&cluster, SMALL).await?, SMALL));
        }
        let members: usize = groups.iter().map(|(_, members)| members).sum();
        for tenth in [1, 3, 5, 7, 9] {
            until(&cluster, &format!("{tenth} tenths are done"), members * tenth / 10).await;
            cluster.workers[0].kill()?;
            cluster.workers.remove(0);
            if tenth % 4 == 1 {
                cluster.restart_api().await?;
            }
            cluster.start_worker()?;
        }
        until(
            &cluster,
            "all members and what comes after the groups",
            members + groups.len(),
        )
        .await;
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
        for (group, size) in &groups {
            let ended = cluster.api.json(&format!("/api/groups/{group}")).await?;
            assert_eq!(
                (&ended["status"], &ended["remaining"], &ended["members"]["Completed"]),
                (&json!("Completed"), &json!(0), &json!(size)),
                "{ended}"
            );
            let after = ended["follow_up_id"].as_str().with_context(|| ended.to_string())?;
            let task = cluster.api.json(&format!("/api/tasks/{after}")).await?;
            assert_eq!(task["output"], json!((0..*size).collect::<Vec<_>>()));
        }
        let stats = cluster.api.json("/api/tasks/stats").await?;
        assert_eq!(
            stats["by_status"]["Completed"],
            json!(members + groups.len()),
            "and no other task is there"
        );
    }
    Ok(())
}
