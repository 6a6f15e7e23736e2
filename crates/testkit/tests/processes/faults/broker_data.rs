//! A broker that loses everything it had.

use std::time::Duration;

use orchestratum_testkit::{Cluster, declared_under, eventually, rounds};
use serde_json::json;
use tokio::time::Instant;

use super::echo;

const BACK_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_lost_all_its_data_is_filled_again_and_no_task_is_lost() -> anyhow::Result<()> {
    // The worker does not ask the database by itself: only messages bring it the tasks of a lane that was idle.
    let cluster = Cluster::builder()
        .in_a_virtual_host()
        .setting("WORKER__POLL_INTERVAL_SECONDS", "600")
        .setting("WORKER__CONCURRENCY", "1")
        .start()
        .await?;
    let host = cluster.virtual_host().expect("it was asked for");
    let nap = json!({"name": "shell", "input": {"command": "sleep 0.1"}});
    for _ in rounds("a broker that lost its data", 1) {
        let mut ids = Vec::new();
        // More than the worker can do before the messages of the rest are gone.
        for _ in 0..20 {
            ids.push(cluster.api.create(&nap).await?);
        }
        host.delete().await?;
        for number in 0..20 {
            ids.push(cluster.api.create(&echo(number)).await?);
        }
        host.create().await?;
        let back = Instant::now();
        for id in &ids {
            cluster.api.until(id, "Completed", BACK_WITHIN).await;
        }
        assert!(
            back.elapsed() <= BACK_WITHIN,
            "the last ended {:?} after the broker was back",
            back.elapsed()
        );
        eventually("queues and exchanges are declared again", || async {
            let declared = declared_under(host.servers(), "orchestratum")
                .await
                .map_err(|error| error.to_string())?;
            let has = |name: &str| declared.iter().any(|one| one == name);
            if has("orchestratum.tasks.default") && has("orchestratum.signals") {
                Ok(())
            } else {
                Err(declared.join(", "))
            }
        })
        .await;
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    }
    Ok(())
}
