//! How a task of Celery is ended, and what goes on without a broker.

use std::path::Path;

use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_testkit::{CeleryWorker, FaultProxy, eventually};
use serde_json::json;
use tempfile::TempDir;

use super::{Lab, host};
use crate::support::{Bench, alive, error, output, until};

fn begun(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn file() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("begun");
    (folder, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_its_time_to_live_or_when_it_is_cancelled_its_process_dies() {
    let lab = Lab::new().await;
    let bench = &lab.bench;
    let worker = bench.worker().await;
    let (_folder, path) = file();
    let sleeps = json!({"task": "fleet.sleep", "args": [path, 600]});
    let task = bench
        .run(json!({"name": "celery", "input": sleeps, "ttl_seconds": 2}))
        .await;
    assert_eq!(task.life.status(), TaskStatus::Expired, "{task:?}");
    until("it was begun and is dead", || {
        begun(&path) == 1 && alive(&path).is_empty()
    })
    .await;

    let id = bench.create(json!({"name": "celery", "input": sleeps})).await;
    until("it has begun", || begun(&path) == 2).await;
    bench.engine.cancel(id, None, None).await.expect("it is cancelled");
    assert_eq!(bench.ended(id).await.life.status(), TaskStatus::Cancelled);
    until("it is dead", || alive(&path).is_empty()).await;

    let once = json!({"task": "fleet.add", "args": [1, 2]});
    assert_eq!(
        output(&bench.run(json!({"name": "celery", "input": once})).await),
        json!(3),
        "the Celery worker goes on"
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_is_revoked_and_the_next_one_runs() {
    let lab = Lab::new().await;
    let bench = &lab.bench;
    let worker = bench.worker().await;
    let (_folder, path) = file();
    let slow = json!({"task": "fleet.slow_once", "args": [path]});
    let task = bench
        .run(json!({"name": "celery", "input": slow, "timeout_seconds": 3, "max_retries": 1}))
        .await;
    assert_eq!(output(&task), json!("done"), "Celery remembers what was revoked");
    assert_eq!(
        bench.outcomes(task.spec.id).await,
        [AttemptOutcome::TimedOut, AttemptOutcome::Success]
    );
    until("the first is dead", || alive(&path).len() < 2).await;
    assert_eq!(begun(&path), 2);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_takes_its_call_back_and_the_next_worker_makes_it() {
    let host = host().await;
    let url = host.servers().amqp_url.clone();
    let _fleet = CeleryWorker::start(&url).await.expect("a Celery worker");
    let bench = Bench::with(&[("worker.celery.url", &url), ("worker.drain_seconds", "0.2")]).await;
    let worker = bench.worker().await;
    let (_folder, path) = file();
    let slow = json!({"task": "fleet.slow_once", "args": [path]});
    let id = bench.create(json!({"name": "celery", "input": slow})).await;
    until("it has begun", || begun(&path) == 1).await;
    worker.stopped().await;
    until("it is dead", || alive(&path).is_empty()).await;
    let worker = bench.worker().await;
    assert_eq!(output(&bench.ended(id).await), json!("done"));
    assert_eq!(
        bench.outcomes(id).await,
        [AttemptOutcome::Released, AttemptOutcome::Success]
    );
    worker.stopped().await;
}

/// As far as a client can tell: connections are reset and refused, and what is not durable is gone behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_broker_in_between_loses_neither_a_result_nor_the_power_to_revoke() {
    let host = host().await;
    let (proxy, url) = FaultProxy::before(&host.servers().amqp_url).await.expect("a proxy");
    let fleet = CeleryWorker::start(&url).await.expect("a Celery worker");
    let bench = Bench::with(&[("worker.celery.url", &url)]).await;
    let worker = bench.worker().await;
    let (_folder, path) = file();
    let sleeps = |seconds: f64| json!({"name": "celery", "input": {"task": "fleet.sleep", "args": [path, seconds]}});
    let short = bench.create(sleeps(1.0)).await;
    let long = bench.create(sleeps(600.0)).await;
    until("both have begun", || begun(&path) == 2).await;
    proxy.cut();
    for exchange in ["celery.pidbox", "reply.celery.pidbox"] {
        host.delete_exchange(exchange).await.expect("it is deleted");
    }
    let lost = "Connection";
    until("Celery has noticed", || fleet.output().contains(lost)).await;
    proxy.heal();
    assert_eq!(output(&bench.ended(short).await), json!("slept"));
    eventually("the workers are told again", || async {
        let there = host
            .has_exchange("celery.pidbox")
            .await
            .map_err(|error| error.to_string())?;
        if there {
            Ok(())
        } else {
            Err("it is not there".to_owned())
        }
    })
    .await;
    until("Celery is back", || {
        fleet.output().matches("mingle: ").count() + fleet.output().matches("Connected to").count() >= 2
    })
    .await;
    bench.engine.cancel(long, None, None).await.expect("it is cancelled");
    assert_eq!(bench.ended(long).await.life.status(), TaskStatus::Cancelled);
    let after = json!({"task": "fleet.add", "args": [1]});
    let task = bench.run(json!({"name": "celery", "input": after})).await;
    assert_eq!(output(&task), json!(1));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_revokes_it_in_celery_cancels_the_task() {
    let lab = Lab::new().await;
    let bench = &lab.bench;
    let worker = bench.worker().await;
    let (_folder, path) = file();
    let sleeps = json!({"task": "fleet.sleep", "args": [path, 600]});
    let id = bench.create(json!({"name": "celery", "input": sleeps})).await;
    until("it has begun", || begun(&path) == 1).await;
    lab.fleet.revoke(&format!("{id}-1")).await.expect("it is revoked");
    let task = bench.ended(id).await;
    assert_eq!(error(&task), "Cancelled: revoked in Celery: terminated");
    worker.stopped().await;
}
