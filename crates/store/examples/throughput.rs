//! How fast a store alone is: no engine, no broker, one caller.
//!
//! ```text
//! cargo run --example throughput -- sqlite:///tmp/throughput.db [TASKS]
//! ```

use std::time::Duration;

use anyhow::Context;
use orchestratum_core::task::Ending;
use orchestratum_store::conformance::lab::{Lab, draft, report};
use orchestratum_store::{ClaimRequest, NewTask, Options, connect};
use tokio::time::Instant;

const CREATE_BATCH: usize = 1_000;
const CLAIM_BATCH: usize = 100;

fn rate(tasks: usize, elapsed: Duration) -> f64 {
    tasks as f64 / elapsed.as_secs_f64()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("which store? such as sqlite::memory:")?;
    let tasks: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let store = connect(&url, &Options::default()).await?;
    store.migrate().await?;
    let lab = Lab::new(store);

    let batches: Vec<Vec<NewTask>> = (0..tasks / CREATE_BATCH)
        .map(|_| (0..CREATE_BATCH).map(|_| lab.task_of(draft("echo"))).collect())
        .collect();
    let begun = Instant::now();
    for batch in batches {
        lab.try_create(batch, None).await;
    }
    println!(
        "create in batches of {CREATE_BATCH}: {:.0} tasks/s",
        rate(tasks, begun.elapsed())
    );

    let worker = lab.echo_worker().await;
    let request = ClaimRequest {
        limit: CLAIM_BATCH,
        ..lab.request(worker)
    };
    let (mut claiming, mut applying, mut drained) = (Duration::ZERO, Duration::ZERO, 0);
    loop {
        let begun = Instant::now();
        let claimed = lab.claim_as(&request).await;
        claiming += begun.elapsed();
        if claimed.is_empty() {
            break;
        }
        drained += claimed.len();
        let reports = claimed.iter().map(|task| report(task, Ending::Success)).collect();
        let begun = Instant::now();
        lab.apply_all(reports).await;
        applying += begun.elapsed();
    }
    println!(
        "drain in batches of {CLAIM_BATCH}: {:.0} tasks/s (claim {:.0}, apply {:.0})",
        rate(drained, claiming + applying),
        rate(drained, claiming),
        rate(drained, applying)
    );
    lab.store.close().await;
    Ok(())
}
