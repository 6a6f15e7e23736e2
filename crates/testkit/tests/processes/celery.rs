//! What a killed worker had sent to Celery.

use std::path::Path;
use std::time::Duration;

use orchestratum_testkit::{CeleryWorker, Cluster, Servers, VirtualHost, eventually, is_alive};
use serde_json::json;

/// Lines of a file that tasks of Celery write their process ids to.
fn begun(path: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_has_sent_is_taken_back_before_it_is_sent_again() -> anyhow::Result<()> {
    let host = VirtualHost::unique(&Servers::from_environment()).await?;
    let url = host.servers().amqp_url.clone();
    let _fleet = CeleryWorker::start(&url).await?;
    let mut cluster = Cluster::builder().setting("WORKER__CELERY__URL", &url).start().await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("begun");
    let task = json!({"name": "celery", "input": {"task": "fleet.slow_once", "args": [path]}});
    let id = cluster.api.create(&task).await?;
    eventually("it has begun", || async {
        let begun = begun(&path);
        if begun.len() == 1 { Ok(()) } else { Err(begun) }
    })
    .await;
    let first = begun(&path)[0];
    let mut killed = cluster.workers.remove(0);
    killed.kill()?;
    assert!(is_alive(first), "Celery knows nothing of it");
    cluster.start_worker()?;
    let ended = cluster.api.until(&id, "Completed", Duration::from_secs(60)).await;
    assert_eq!(ended["output"], "done", "{ended}");
    eventually("the first is dead", || async {
        if is_alive(first) { Err(first) } else { Ok(()) }
    })
    .await;
    assert_eq!(begun(&path).len(), 2);
    Ok(())
}
