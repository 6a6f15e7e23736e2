//! How long a program takes on an idle system: the smallest one in Python, 20 a second, from the call of the client until
//! another connection can see that it is done.

use anyhow::Result;

use super::pacing::Pace;
use super::{sandbox, warm};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System, quantile};
use crate::systems::orchestratum::Work;

pub(super) const PER_SECOND: u32 = 20;
pub(super) const WARM_UP_TASKS: u32 = 100;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    sandbox::full(bench).await?;
    let deployment = warm(bench, system, Vec::new(), Work::Python, WARM_UP_TASKS).await?;
    let requests = vec![Work::Python.request()?; bench.sizes.code_latency_tasks as usize];
    let pace = Pace {
        per_second: PER_SECOND,
        requests: &requests,
    };
    let waits = pace.post_and_observe(&deployment).await?;
    for (figure, part) in [("recorded p50 ms", 0.5), ("recorded p99 ms", 0.99)] {
        results.add(Measure::CodeLatency, system, figure, quantile(&waits, part));
    }
    deployment.remove().await
}
