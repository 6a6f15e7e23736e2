//! What a task that uses up all it can does to the others of its worker: the same programs as in the code latency, alone,
//! beside a fork bomb, and beside a flood of output.
//!
//! The worker has four slots, so that it is the machine that the others wait for, and not a slot.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use uuid::Uuid;

use super::code_latency::{PER_SECOND, WARM_UP_TASKS};
use super::pacing::Pace;
use super::{sandbox, warm};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::load::{Answer, Server};
use crate::machine::descendants_of;
use crate::results::{Results, System, quantile};
use crate::systems::orchestratum::{Deployment, Work};
use crate::systems::wait_for;

const SLOTS: &str = "4";
/// A bomb that has gone off: half of the processes that a worker grants by default.
const BOMB_PROCESSES: usize = 128;
const HOG_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    sandbox::full(bench).await?;
    let settings = vec![("WORKER__CONCURRENCY", SLOTS.into())];
    let deployment = warm(bench, system, settings, Work::Python, WARM_UP_TASKS).await?;
    for (hog, figures) in [
        (None, ["alone p50 ms", "alone p99 ms"]),
        (Some(Work::ForkBomb), ["fork bomb p50 ms", "fork bomb p99 ms"]),
        (Some(Work::OutputFlood), ["output flood p50 ms", "output flood p99 ms"]),
    ] {
        let waits = beside(bench, &deployment, hog).await?;
        for (figure, part) in figures.into_iter().zip([0.5, 0.99]) {
            results.add(Measure::Neighbour, system, figure, quantile(&waits, part));
        }
    }
    deployment.remove().await
}

async fn beside(bench: &Bench, deployment: &Deployment, hog: Option<Work>) -> Result<Vec<f64>> {
    let server = deployment.server()?;
    let worker = deployment.worker_process().context("the worker runs")?;
    let hog = match hog {
        Some(work) => Some(Hog::start(&server, work, worker).await?),
        None => None,
    };
    let requests = vec![Work::Python.request()?; bench.sizes.neighbour_tasks as usize];
    let pace = Pace {
        per_second: PER_SECOND,
        requests: &requests,
    };
    let waits = pace.post_and_observe(deployment).await?;
    if let Some(hog) = hog {
        hog.end().await?;
    }
    Ok(waits)
}

/// A task that runs until it is cancelled.
#[derive(Debug)]
struct Hog<'a> {
    server: &'a Server,
    id: Uuid,
}

#[derive(Debug, Deserialize)]
struct Document {
    id: Uuid,
    status: String,
}

impl<'a> Hog<'a> {
    /// Returns when it does what it is for.
    async fn start(server: &'a Server, work: Work, worker: u32) -> Result<Self> {
        let before = descendants_of(worker)?;
        let answer = post(server, "/api/tasks", work.request()?).await?;
        let created: Document = serde_json::from_slice(&answer.expect(StatusCode::CREATED)?)?;
        let hog = Self { server, id: created.id };
        wait_for("a task to use up the machine", HOG_LIMIT, PAUSE, async || {
            let is_up = match work {
                Work::ForkBomb => descendants_of(worker)? >= before + BOMB_PROCESSES,
                _ => true,
            };
            Ok(is_up && hog.status().await? == "InProgress")
        })
        .await?;
        Ok(hog)
    }

    async fn status(&self) -> Result<String> {
        let answer = self.server.get(&format!("/api/tasks/{}", self.id)).await?;
        let document: Document = serde_json::from_slice(&answer.expect(StatusCode::OK)?)?;
        Ok(document.status)
    }

    /// Makes sure that it was there all the time.
    async fn end(self) -> Result<()> {
        let status = self.status().await?;
        ensure!(status == "InProgress", "the neighbour of the tasks is {status}");
        let path = format!("/api/tasks/{}/cancel", self.id);
        let answer = post(self.server, &path, Bytes::from_static(b"{}")).await?;
        answer.expect(StatusCode::ACCEPTED)?;
        wait_for("a task to be cancelled", HOG_LIMIT, PAUSE, async || {
            Ok(self.status().await? == "Cancelled")
        })
        .await
    }
}

async fn post(server: &Server, path: &str, body: Bytes) -> Result<Answer> {
    server.lane().await?.send(Method::POST, path, body).await
}
