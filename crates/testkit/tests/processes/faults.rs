//! Bad days: processes are killed and frozen, servers go away, answers get lost. Real processes, real servers.

mod balances;
mod broker_data;
mod deliveries;
mod deployments;
mod follow_ups;
mod groups;
mod hang_ups;
mod leaks;
mod limits;
mod orders;
mod schedules;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orchestratum_testkit::{Cluster, eventually, eventually_within, processes_with_environment, rounds};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// The lease of the tests' workers.
const LEASE: Duration = Duration::from_secs(3);

fn slow(seconds: f64) -> Value {
    json!({
        "name": "python",
        "input": {"code": format!("import os, time\ndef main(input):\n    time.sleep({seconds})\n    return os.getppid()")},
        "ttl_seconds": 120
    })
}

fn echo(number: usize) -> Value {
    json!({"name": "echo", "input": number})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_task_runs_again_elsewhere_and_nothing_of_it_is_left() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder().start().await?;
    // A program of its own, which shows its environment, and not the fork of an interpreter.
    let nap = json!({"name": "shell", "input": {"command": "sleep 4"}, "ttl_seconds": 120});
    for _ in rounds("a killed worker", 1) {
        let id = cluster.api.create(&nap).await?;
        cluster.api.until(&id, "InProgress", PATIENCE).await;
        let marker = format!("ORCHESTRATUM_TASK_ID={id}");
        eventually("the task's process runs", || async {
            if processes_with_environment(&marker).is_empty() {
                Err("none")
            } else {
                Ok(())
            }
        })
        .await;

        cluster.workers[0].kill()?;
        let killed = tokio::time::Instant::now();
        eventually_within(Duration::from_secs(2), "its children die with it", || async {
            let alive = processes_with_environment(&marker);
            if alive.is_empty() { Ok(()) } else { Err(alive) }
        })
        .await;
        cluster.start_worker()?;
        eventually_within(PATIENCE, "the second attempt runs", || async {
            let task = cluster.api.task(&id).await.map_err(|error| error.to_string())?;
            if task["attempt"] == 2 {
                Ok(())
            } else {
                Err(task.to_string())
            }
        })
        .await;
        let delay = killed.elapsed();
        assert!(
            delay <= LEASE + Duration::from_secs(2),
            "it took {delay:?} until it ran again"
        );

        cluster.api.until(&id, "Completed", PATIENCE).await;
        let attempts = cluster.api.attempts(&id).await?;
        let outcomes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
        assert_eq!(outcomes, ["Lost", "Success"]);
        // The other one is the next to be killed.
        cluster.workers.remove(0);
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_frozen_longer_than_its_lease_changes_nothing_when_it_wakes() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder().start().await?;
    for _ in rounds("a frozen worker", 1) {
        let id = cluster.api.create(&slow(3.5)).await?;
        let first = cluster.api.until(&id, "InProgress", PATIENCE).await["worker_id"].clone();
        cluster.workers[0].freeze()?;
        cluster.start_worker()?;
        let done = cluster.api.until(&id, "Completed", PATIENCE).await;
        assert_ne!(done["worker_id"], first, "the other worker did it");

        cluster.workers[0].thaw()?;
        // The one that slept notices that its lease is over, ends what it runs, and comes back under another id.
        eventually("the frozen worker is back under a new id", || async {
            let workers = cluster
                .api
                .json("/api/workers")
                .await
                .map_err(|error| error.to_string())?;
            let live = workers["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|worker| worker["state"] == "Live");
            if live.filter(|worker| worker["id"] != first).count() == 2 {
                Ok(())
            } else {
                Err(workers.to_string())
            }
        })
        .await;
        let after = cluster.api.task(&id).await?;
        assert_eq!(after, done, "its late report left no trace");
        let attempts = cluster.api.attempts(&id).await?;
        let outcomes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
        assert_eq!(outcomes, ["Lost", "Success"]);
        cluster.workers[1].stop(PATIENCE).await?;
        cluster.workers.remove(1);
        cluster.until_live_workers(1).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_tasks_are_accepted_and_run_and_its_return_is_noticed() -> anyhow::Result<()> {
    let cluster = Cluster::builder().proxied().start().await?;
    let proxy = cluster.broker_proxy.as_ref().expect("the cluster is proxied");
    for _ in rounds("a broker that goes and returns", 1) {
        proxy.cut();
        let mut ids = Vec::new();
        for number in 0..20 {
            ids.push(cluster.api.create(&echo(number)).await?);
        }
        for id in &ids {
            // The worker asks the database by itself every 5 s.
            cluster.api.until(id, "Completed", Duration::from_secs(15)).await;
        }
        proxy.heal();
        eventually_within(Duration::from_secs(10), "messages arrive again", || async {
            let id = cluster.api.create(&echo(0)).await.map_err(|error| error.to_string())?;
            let path = format!("/api/tasks/{id}?wait_seconds=1");
            let task = cluster.api.json(&path).await.map_err(|error| error.to_string())?;
            if task["status"] == "Completed" {
                Ok(())
            } else {
                Err(task.to_string())
            }
        })
        .await;
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_callers_are_told_to_come_back_and_all_recovers_by_itself() -> anyhow::Result<()> {
    let cluster = Cluster::builder().proxied().start().await?;
    let proxy = cluster.database_proxy.as_ref().expect("the cluster is proxied");
    for _ in rounds("a database that goes and returns", 1) {
        proxy.cut();
        let refused = eventually("an answer without a database", || async {
            let answer = cluster
                .api
                .post("/api/tasks")
                .json(&echo(1))
                .send()
                .await
                .map_err(|error| error.to_string())?;
            if answer.status().is_success() {
                Err("it was still created".to_owned())
            } else {
                Ok(answer)
            }
        })
        .await;
        assert_eq!(refused.status().as_u16(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        proxy.heal();
        let id = eventually("tasks are accepted again", || async {
            cluster.api.create(&echo(2)).await.map_err(|error| error.to_string())
        })
        .await;
        cluster.api.until(&id, "Completed", PATIENCE).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_the_database_lost_exists_once() -> anyhow::Result<()> {
    let cluster = Cluster::builder().proxied().start().await?;
    let proxy = cluster.database_proxy.as_ref().expect("the cluster is proxied");
    let mut ids = std::collections::BTreeSet::new();
    let mut count = 0;
    for round in rounds("a lost answer of the database", 20) {
        count += 1;
        proxy.swallow_next_answer();
        let key = format!("round-{round}");
        let body = json!({"name": "echo", "input": round, "labels": {"round": round.to_string()}});
        let id = eventually("the create is answered", || async {
            let request = cluster
                .api
                .post("/api/tasks")
                .header("idempotency-key", &key)
                .json(&body);
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let text = answer.text().await.map_err(|error| error.to_string())?;
            if status.as_u16() != 201 {
                return Err(format!("{status}: {text}"));
            }
            let task: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            Ok(task["id"].as_str().unwrap_or_default().to_owned())
        })
        .await;
        ids.insert(id);
        let found = cluster.api.json(&format!("/api/tasks?label.round={round}")).await?;
        assert_eq!(
            found["items"].as_array().map(Vec::len),
            Some(1),
            "round {round}: {found}"
        );
    }
    assert_eq!(ids.len(), count);
    assert!(
        proxy.swallowed_answers() >= count / 2,
        "the fault happened {} times",
        proxy.swallowed_answers()
    );
    for id in &ids {
        cluster.api.until(id, "Completed", PATIENCE).await;
    }
    assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_killed_while_tasks_are_created_loses_none_it_acknowledged() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder().start().await?;
    for _ in rounds("a killed api", 1) {
        let api = cluster.api.clone();
        let created = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&created);
        let creating = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while let Ok(id) = api.create(&echo(acknowledged.len())).await {
                acknowledged.push(id);
                counter.store(acknowledged.len(), Ordering::SeqCst);
            }
            acknowledged
        });
        eventually("some tasks exist", || async {
            let created = created.load(Ordering::SeqCst);
            if created > 20 { Ok(()) } else { Err(created) }
        })
        .await;
        cluster.restart_api().await?;
        let acknowledged = creating.await?;
        assert!(acknowledged.len() > 20);
        for id in &acknowledged {
            cluster.api.until(id, "Completed", PATIENCE).await;
        }
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_hands_back_what_it_cannot_finish() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder()
        .setting("WORKER__DRAIN_SECONDS", "0.5")
        .start()
        .await?;
    for _ in rounds("a worker that is stopped", 1) {
        let id = cluster.api.create(&slow(6.0)).await?;
        cluster.api.until(&id, "InProgress", PATIENCE).await;
        cluster.start_worker()?;
        cluster.until_live_workers(2).await;
        let status = cluster.workers[0].stop(PATIENCE).await?;
        assert!(status.success(), "{status}");
        let task = cluster.api.until(&id, "Completed", PATIENCE).await;
        assert_eq!(task["attempt"], 2);
        assert_eq!(task["losses_left"], 3, "a hand-back uses no budget");
        let attempts = cluster.api.attempts(&id).await?;
        let outcomes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
        assert_eq!(outcomes, ["Released", "Success"]);
        cluster.workers.remove(0);
    }
    Ok(())
}
