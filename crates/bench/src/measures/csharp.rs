//! How long C# takes, from the call of the client until another connection can see that it is done: code that was compiled
//! before, and code that nobody has seen. Beside it, in the same run, the same compiler and the same runtime as new processes.

use anyhow::{Context, Result};
use bytes::Bytes;
use serde_json::json;

use super::pacing::Pace;
use super::{sandbox, warm};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System, quantile};
use crate::systems::dotnet::Dotnet;
use crate::systems::orchestratum::Work;

/// Slow enough that the runtime for the next task has started: one after the other, as people send them.
const PER_SECOND: u32 = 5;

/// Whatever is only there after the first few: the compiler's own code is compiled as it is used.
const WARM_UP_TASKS: usize = 10;
const WARM_UP_PER_SECOND: u32 = 20;
/// Those are not counted, and no source is sent twice.
const FIRST_MEASURED: usize = 1_000;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let dotnet = bench.dotnet.as_ref().ok().context("there is no runtime of C#")?;
    if system == System::DotnetCold {
        return cold(bench, dotnet, results).await;
    }
    sandbox::full(bench).await?;
    let settings = vec![
        ("WORKER__CSHARP", dotnet.root.clone().into_os_string()),
        ("WORKER__CSHARP_CACHE", bench.cache.join("csharp").into_os_string()),
    ];
    let deployment = warm(bench, system, settings, Work::Echo, 1).await?;
    let tasks = bench.sizes.csharp_tasks as usize;
    // The first of them is the one that is compiled before.
    let warm_up = sources(0, WARM_UP_TASKS)?;
    paced(WARM_UP_PER_SECOND, &warm_up)
        .post_and_observe(&deployment)
        .await?;
    let compiled_before = vec![request(0)?; tasks];
    let new = sources(FIRST_MEASURED, tasks)?;
    for (figures, requests) in [
        (["compiled before p50 ms", "compiled before p99 ms"], compiled_before),
        (["new p50 ms", "new p99 ms"], new),
    ] {
        let waits = paced(PER_SECOND, &requests).post_and_observe(&deployment).await?;
        for (figure, part) in figures.into_iter().zip([0.5, 0.99]) {
            results.add(Measure::Csharp, system, figure, quantile(&waits, part));
        }
    }
    deployment.remove().await
}

async fn cold(bench: &Bench, dotnet: &Dotnet, results: &mut Results) -> Result<()> {
    let folder = bench.new_folder()?;
    // The files are in the memory of the machine then, as they are for the product.
    dotnet.compile_and_run(0, &folder).await?;
    let mut milliseconds = Vec::new();
    for number in 0..bench.sizes.csharp_cold_runs as usize {
        milliseconds.push(dotnet.compile_and_run(FIRST_MEASURED + number, &folder).await?);
    }
    let median = quantile(&milliseconds, 0.5);
    results.add(Measure::Csharp, System::DotnetCold, "new p50 ms", median);
    Ok(())
}

fn paced(per_second: u32, requests: &[Bytes]) -> Pace<'_> {
    Pace { per_second, requests }
}

fn sources(first: usize, count: usize) -> Result<Vec<Bytes>> {
    (first..first + count).map(request).collect()
}

fn request(number: usize) -> Result<Bytes> {
    let code = format!("var numbers = new[] {{ {number}, 1 }};\nreturn numbers.Select(x => x + 1).Sum();");
    Ok(serde_json::to_vec(&json!({"name": "csharp", "input": {"code": code}}))?.into())
}
