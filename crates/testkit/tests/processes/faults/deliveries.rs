//! A broker closes the channel of a consumer that owes it an acknowledgement for too long; ours owes none for long.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use orchestratum_testkit::{Cluster, Servers, rounds};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::PATIENCE;

/// A hint waits for a place in a worker for a second; then it goes back. The rest is for a machine that is busy.
const HELD_AT_MOST: Duration = Duration::from_secs(3);
/// For how long it is watched: longer, or nothing could be held for too long.
const WATCHED_FOR: Duration = Duration::from_secs(5);

const WAITING: u32 = 12;

/// How many messages wait in a queue, not counting those that are with a worker.
async fn ready(channel: &Channel, queue: &str) -> anyhow::Result<u32> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
    Ok(timeout(PATIENCE, declared).await??.message_count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_busy_for_long_keeps_no_message_for_more_than_a_moment() -> anyhow::Result<()> {
    let cluster = Cluster::builder().setting("WORKER__CONCURRENCY", "1").start().await?;
    let queue = format!(
        "{}.tasks.default",
        cluster.environment()["ORCHESTRATUM__BROKER__PREFIX"]
    );
    let url = Servers::from_environment().amqp_url;
    let connection = timeout(PATIENCE, Connection::connect(&url, ConnectionProperties::default())).await??;
    let channel = timeout(PATIENCE, connection.create_channel()).await??;
    let shell = |command: &str| json!({"name": "shell", "input": {"command": command}});
    for _ in rounds("a worker that is busy for long", 1) {
        let long = cluster.api.create(&shell("sleep 600")).await?;
        cluster.api.until(&long, "InProgress", PATIENCE).await;
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            waiting.push(cluster.api.create(&shell("true")).await?);
        }
        // While the worker is busy, what is not in the queue is with the worker.
        let begin = Instant::now();
        let (mut all_there_at, mut longest) = (begin, Duration::ZERO);
        let mut looks = interval(Duration::from_millis(50));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while begin.elapsed() < WATCHED_FOR {
            looks.tick().await;
            if ready(&channel, &queue).await? >= WAITING {
                all_there_at = Instant::now();
            }
            longest = longest.max(all_there_at.elapsed());
        }
        assert!(longest <= HELD_AT_MOST, "messages were held for {longest:?}");
        assert_eq!(
            cluster.api.task(&long).await?["status"],
            "InProgress",
            "the worker was busy"
        );
        let cancel = cluster.api.post(&format!("/api/tasks/{long}/cancel")).json(&json!({}));
        cancel.send().await?.error_for_status()?;
        for id in waiting {
            cluster.api.until(&id, "Completed", PATIENCE).await;
        }
    }
    timeout(PATIENCE, connection.close(200, "done".into())).await??;
    Ok(())
}
