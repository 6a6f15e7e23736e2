//! New versions are put in place of old ones while work goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use orchestratum_testkit::{Api, Cluster, eventually, rounds};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{PATIENCE, echo};

/// The grace of a kill, and 5 s.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// Of so many tasks one in a hundred is more than one.
const TASKS: usize = 300;

/// What a worker says of a task that it claimed while it was told to stop: nothing of it had begun.
const NOT_BEGUN: &str = "the worker stopped before it was started";

#[derive(Debug, Default)]
struct Load {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Load {
    async fn reaches(&self, count: usize) {
        eventually("tasks are created", || async {
            let acknowledged = self.acknowledged.load(Ordering::SeqCst);
            if acknowledged >= count {
                Ok(())
            } else {
                Err(acknowledged)
            }
        })
        .await;
    }
}

/// Attempts that had begun and did not end by themselves.
async fn interruptions(api: &Api, id: &str) -> anyhow::Result<usize> {
    let attempts = api.attempts(id).await?;
    let interrupted = attempts
        .iter()
        .filter(|attempt| attempt["outcome"] != "Success" && attempt["error"]["message"] != NOT_BEGUN);
    Ok(interrupted.count())
}

/// Creates tasks until it is told to stop, and returns those that were acknowledged.
async fn create_tasks(api: Api, load: Arc<Load>) -> Vec<String> {
    let nap = json!({"name": "shell", "input": {"command": "sleep 0.05"}});
    let mut pace = interval(Duration::from_millis(10));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if load.stop.load(Ordering::SeqCst) {
            break;
        }
        pace.tick().await;
        let task = if number % 5 == 0 { nap.clone() } else { echo(number) };
        // Refused while the api is being replaced; what became of it is not known then.
        if let Ok(id) = api.create(&task).await {
            acknowledged.push(id);
            load.acknowledged.store(acknowledged.len(), Ordering::SeqCst);
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_api_are_replaced_under_load_and_nothing_is_lost() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder().workers(2).start().await?;
    for _ in rounds("a deployment under load", 1) {
        let load = Arc::new(Load::default());
        let creating = tokio::spawn(create_tasks(cluster.api.clone(), Arc::clone(&load)));
        load.reaches(TASKS / 3).await;
        for _ in 0..2 {
            cluster.start_worker()?;
            cluster.until_live_workers(3).await;
            let begin = Instant::now();
            let status = cluster.workers[0].stop(PATIENCE).await?;
            assert!(status.success(), "{status}");
            assert!(begin.elapsed() <= STOPS_WITHIN, "it took {:?} to stop", begin.elapsed());
            cluster.workers.remove(0);
            cluster.until_live_workers(2).await;
        }
        let begin = Instant::now();
        let status = cluster.replace_api(PATIENCE).await?;
        assert!(status.success(), "{status}");
        assert!(begin.elapsed() <= STOPS_WITHIN, "it took {:?}", begin.elapsed());
        load.reaches(TASKS).await;
        load.stop.store(true, Ordering::SeqCst);
        let acknowledged = creating.await?;
        let mut interrupted = 0;
        for id in &acknowledged {
            let task = cluster.api.until(id, "Completed", PATIENCE).await;
            if task["attempt"] != 1 {
                interrupted += interruptions(&cluster.api, id).await?;
            }
        }
        assert!(
            interrupted * 100 <= acknowledged.len(),
            "{interrupted} attempts of {} tasks were interrupted",
            acknowledged.len()
        );
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    }
    Ok(())
}
