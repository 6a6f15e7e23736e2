//! What a system costs that has nothing to do.

use anyhow::Result;
use tokio::time::sleep;

use super::{fill, wait_until_done};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::machine::{Usage, monotonic_now};
use crate::results::{Results, System};
use crate::systems::orchestratum::{Deployment, Work};

const WARM_UP_TASKS: u32 = 300;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let mut deployment = Deployment::start(bench, system).await?;
    deployment.start_worker().await?;
    fill(&deployment, Work::Echo, WARM_UP_TASKS).await?;
    wait_until_done(&mut deployment).await?;
    sleep(bench.sizes.settle).await;
    let processes = deployment.processes();
    let (used, transactions) = (Usage::of(&processes)?, deployment.database()?.transactions().await?);
    let started = monotonic_now();
    sleep(bench.sizes.idle).await;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = Usage::of(&processes)?.seconds_since(used);
    let transactions = deployment.database()?.transactions().await? - transactions;
    results.add(Measure::Idle, system, "% of a core", cpu / seconds * 100.0);
    results.add(Measure::Idle, system, "transactions/s", transactions as f64 / seconds);
    deployment.remove().await
}
