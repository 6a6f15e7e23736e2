//! How fast tasks are taken in, with no worker that would compete: single requests, batches, and Celery's calls.

use anyhow::Result;

use super::BATCH;
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System, quantile};
use crate::systems::celery::Fleet;
use crate::systems::orchestratum::{Deployment, Work, batch};

const IN_FLIGHT: u32 = 32;
const BATCHES_IN_FLIGHT: u32 = 4;
/// Two processes of sixteen threads are the fastest of the ways to have 32 calls of `apply_async` in flight that were
/// tried (1 x 32, 2 x 16, 4 x 8, 8 x 4): they use both cores, which one process cannot.
const CELERY_PROCESSES: u32 = 2;
const CELERY_THREADS: u32 = IN_FLIGHT / CELERY_PROCESSES;
const WARM_UP_REQUESTS: u32 = 500;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let mut add = |figure, value| results.add(Measure::Create, system, figure, value);
    if system == System::Celery {
        let fleet = Fleet::start(bench, system).await?;
        let calls = bench.sizes.celery_create_calls;
        let rate = fleet.create(calls, CELERY_PROCESSES, CELERY_THREADS).await?;
        add("single tasks/s", rate);
        return fleet.remove().await;
    }
    let deployment = Deployment::start(bench, system).await?;
    let server = deployment.server()?;
    let single = Work::Echo.request()?;
    server
        .post_all("/api/tasks", &single, WARM_UP_REQUESTS, IN_FLIGHT)
        .await?;
    bench.postgres.checkpoint().await?;
    let requests = bench.sizes.create_requests;
    let load = server.post_all("/api/tasks", &single, requests, IN_FLIGHT).await?;
    add("single tasks/s", f64::from(requests) / load.seconds);
    add("single p99 ms", quantile(&load.milliseconds, 0.99));

    let batches = bench.sizes.create_batches;
    let body = batch(&vec![Work::Echo.body(); BATCH as usize])?;
    let load = server
        .post_all("/api/tasks/batch", &body, batches, BATCHES_IN_FLIGHT)
        .await?;
    add("batched tasks/s", f64::from(batches * BATCH) / load.seconds);
    deployment.remove().await
}
