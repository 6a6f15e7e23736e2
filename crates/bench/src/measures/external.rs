//! What an external worker reaches: one that claims a hundred tasks at a time over HTTP, while the reports of the hundred before
//! are on their way, each in a request of its own or all in one.

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::{try_join, try_join_all};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::{DRAIN_LIMIT, fill};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::load::Lane;
use crate::machine::monotonic_now;
use crate::results::{Results, System};
use crate::systems::orchestratum::{Deployment, OUTSIDE_NAME, Work};

const CLAIMED_AT_ONCE: usize = 100;

const WARM_UP_TASKS: u32 = 1_000;

#[derive(Debug, Clone, Copy)]
enum Reports {
    Single,
    Together,
}

impl Reports {
    /// How many requests are under way: a worker that runs a hundred tasks reports each when it is done.
    const fn in_flight(self) -> usize {
        match self {
            Self::Single => CLAIMED_AT_ONCE,
            Self::Together => 2,
        }
    }

    /// How many reports one request has.
    const fn parcel(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Together => CLAIMED_AT_ONCE,
        }
    }
}

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let tasks = bench.sizes.drain_tasks;
    for (reports, figure) in [
        (Reports::Single, "tasks/s"),
        (Reports::Together, "reported together, tasks/s"),
    ] {
        let deployment = Deployment::start(bench, system).await?;
        drained(&deployment, reports, WARM_UP_TASKS).await?;
        let seconds = drained(&deployment, reports, tasks).await?;
        results.add(Measure::External, system, figure, f64::from(tasks) / seconds);
        deployment.remove().await?;
    }
    Ok(())
}

/// How long it took, in seconds.
async fn drained(deployment: &Deployment, reports: Reports, tasks: u32) -> Result<f64> {
    fill(deployment, Work::Outside, tasks).await?;
    let server = deployment.server()?;
    let mut claimer = server.lane().await?;
    let reporters = try_join_all((0..reports.in_flight()).map(|_| server.lane())).await?;
    // Claims go on while reports are under way, but not further ahead than one of them.
    let (held, to_report) = mpsc::channel(CLAIMED_AT_ONCE / reports.parcel());
    let to_report = Mutex::new(to_report);
    let started = monotonic_now();
    let claiming = async {
        let mut claimed = 0;
        loop {
            let ids = claim(&mut claimer).await?;
            if ids.is_empty() {
                drop(held);
                return Ok::<_, anyhow::Error>(claimed);
            }
            claimed += ids.len();
            for parcel in ids.chunks(reports.parcel()) {
                held.send(parcel.to_vec()).await?;
            }
        }
    };
    let reporting = try_join_all(reporters.into_iter().map(async |mut lane| {
        loop {
            let parcel = to_report.lock().await.recv().await;
            let Some(parcel) = parcel else { return Ok(()) };
            report(&mut lane, reports, &parcel).await?;
        }
    }));
    let (claimed, _) = timeout(DRAIN_LIMIT, try_join(claiming, reporting)).await??;
    anyhow::ensure!(claimed == tasks as usize, "{claimed} of {tasks} were claimed");
    Ok(started.elapsed().as_secs_f64())
}

/// The ids of tasks in their first attempt.
async fn claim(lane: &mut Lane) -> Result<Vec<String>> {
    let claim = json!({"worker": "bench", "names": [OUTSIDE_NAME], "max": CLAIMED_AT_ONCE});
    let claimed = post(lane, "/api/worker/claim", &claim).await?;
    let tasks = claimed["tasks"].as_array().context("the tasks of a claim")?;
    let ids = tasks.iter().filter_map(|task| task["id"].as_str().map(str::to_owned));
    Ok(ids.collect())
}

async fn report(lane: &mut Lane, reports: Reports, parcel: &[String]) -> Result<()> {
    let success = json!({"output": {"number": 1}});
    match reports {
        Reports::Single => {
            for id in parcel {
                let path = format!("/api/worker/tasks/{id}/attempts/1/complete");
                post(lane, &path, &success).await?;
            }
        }
        Reports::Together => {
            let one = |id: &String| json!({"task_id": id, "attempt": 1, "complete": success});
            let all: Vec<Value> = parcel.iter().map(one).collect();
            let answer = post(lane, "/api/worker/reports", &json!({ "reports": all })).await?;
            let results = answer["results"].as_array().context("the results of reports")?;
            let refused = results.iter().find(|result| result["outcome"] != "Success");
            anyhow::ensure!(refused.is_none(), "a report was refused: {refused:?}");
        }
    }
    Ok(())
}

async fn post(lane: &mut Lane, path: &str, body: &Value) -> Result<Value> {
    let body = Bytes::from(serde_json::to_vec(body)?);
    let answer = lane.send(Method::POST, path, body).await?;
    Ok(serde_json::from_slice(&answer.expect(StatusCode::OK)?)?)
}
