//! What follow-ups cost: chains of no-op tasks, each written with the end of the one before, against as many tasks that wait from
//! the beginning, and one chain on an idle system against one task.

use anyhow::Result;

use super::pacing::{Pace, milliseconds};
use super::{fill, wait_until_done, warm, warm_up};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System, quantile};
use crate::systems::Stretch;
use crate::systems::orchestratum::{CHAIN_LINKS, Deployment, Work};

const WARM_UP_TASKS: u32 = 300;

/// Few enough that one chain is over before the next one begins.
const PER_SECOND: u32 = 5;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let chains = bench.sizes.chains;
    let tasks = chains * CHAIN_LINKS;
    let plain = drained(bench, system, Work::Echo, tasks, tasks)
        .await?
        .tasks_per_second();
    let chained = drained(bench, system, Work::Chain, chains, tasks)
        .await?
        .tasks_per_second();
    let mut deployment = warm(bench, system, Vec::new(), Work::Chain, WARM_UP_TASKS).await?;
    let one = took(bench, &mut deployment, Work::Echo).await?;
    let ten = took(bench, &mut deployment, Work::Chain).await?;
    deployment.remove().await?;
    let mut add = |figure, value| results.add(Measure::Chains, system, figure, value);
    add("plain tasks/s", plain);
    add("chained tasks/s", chained);
    // Of runs that followed each other: the machine was the same for both.
    add("chained : plain", chained / plain);
    add("one task p50 ms", one);
    add("chain of ten p50 ms", ten);
    add("chain of ten : one task", ten / one);
    Ok(())
}

/// So many requests wait, and become so many tasks.
async fn drained(bench: &Bench, system: System, work: Work, requests: u32, tasks: u32) -> Result<Stretch> {
    let mut deployment = Deployment::start(bench, system).await?;
    if system != System::Sqlite {
        warm_up(&mut deployment, work, WARM_UP_TASKS).await?;
    }
    fill(&deployment, work, requests).await?;
    bench.postgres.checkpoint().await?;
    deployment.start_worker().await?;
    wait_until_done(&mut deployment).await?;
    let stretch = deployment.records().await?.drained(tasks).await?;
    deployment.remove().await?;
    Ok(stretch)
}

/// From the call of the client to the end of the last task that came of it, by the database.
async fn took(bench: &Bench, deployment: &mut Deployment, work: Work) -> Result<f64> {
    let requests = vec![work.request()?; bench.sizes.chain_requests as usize];
    let pace = Pace {
        per_second: PER_SECOND,
        requests: &requests,
    };
    let mut posted = pace.post(&deployment.server()?).await?;
    wait_until_done(deployment).await?;
    posted.sort_unstable_by_key(|posted| posted.sent.micros);
    let mut finished: Vec<i64> = Vec::new();
    for task in deployment.records().await?.times().await? {
        finished.push(task.finished_micros);
    }
    finished.sort_unstable();
    let begins = posted.iter().map(|posted| posted.sent.micros);
    let ends = begins.clone().skip(1).chain([i64::MAX]);
    let took = begins.zip(ends).filter_map(|(begin, end)| {
        let last = finished[..finished.partition_point(|finished| *finished < end)].last()?;
        Some(milliseconds(last - begin))
    });
    Ok(quantile(&took.collect::<Vec<_>>(), 0.5))
}
