//! The most memory that api and worker ever have in use: tasks with inputs of 1 KiB are created while the worker works
//! them off with all of its slots.

use anyhow::{Context, Result};

use super::{fill, wait_until_done};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::machine::peak_memory_bytes;
use crate::results::{Results, System};
use crate::systems::orchestratum::{Deployment, Work};

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let mut deployment = Deployment::start(bench, system).await?;
    deployment.start_worker().await?;
    fill(&deployment, Work::EchoKibibyte, bench.sizes.drain_tasks).await?;
    wait_until_done(&mut deployment).await?;
    let api = deployment.api_process().context("the api runs")?;
    let worker = deployment.worker_process().context("the worker runs")?;
    for (figure, process) in [("api MiB", api), ("worker MiB", worker)] {
        let bytes = peak_memory_bytes(process)?;
        results.add(Measure::Memory, system, figure, bytes as f64 / f64::from(1 << 20));
    }
    deployment.remove().await
}
