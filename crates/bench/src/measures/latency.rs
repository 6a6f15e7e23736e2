//! How long a task takes on an idle system: 100 a second, from the call of the client.
//!
//! Of the product the database keeps when the task was claimed (`started_at`) and when its end was reported
//! (`finished_at`, before that is committed). The handler of a no-op starts and ends between the two, so the later one is
//! used as the start: never better than the truth. Celery's handlers write down their start themselves.
//!
//! Looking for finished rows is work for the database, so starts are measured while nobody looks, with Celery without
//! results beside them, and rows while somebody does, with Celery with results beside them.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;
use uuid::Uuid;

use super::observer::{Sent, observe};
use super::pacing::{GRACE, Pace, milliseconds, recorded};
use super::{DRAIN_LIMIT, wait_until_done, warm};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System, quantile};
use crate::systems::celery::Fleet;
use crate::systems::orchestratum::{Timed, Work};
use crate::systems::wait_for;

const PER_SECOND: u32 = 100;
const WARM_UP_TASKS: u32 = 300;

/// Milliseconds from the call of the client, task by task.
#[derive(Debug, Default)]
struct Latencies {
    answered: Vec<f64>,
    claimed: Vec<f64>,
    started: Vec<f64>,
    recorded: Vec<f64>,
}

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let tasks = bench.sizes.latency_tasks;
    let limit = Duration::from_secs(u64::from(tasks / PER_SECOND)) + GRACE;
    let run = async {
        match system {
            System::Celery | System::CeleryResults => celery(bench, system, tasks).await,
            _ => product(bench, system, tasks).await,
        }
    };
    let latencies = timeout(limit, run).await.context("the tasks took too long")??;
    let mut add = |figure, samples: &[f64], part| {
        if !samples.is_empty() {
            results.add(Measure::Latency, system, figure, quantile(samples, part));
        }
    };
    add("start p50 ms", &latencies.started, 0.5);
    add("start p99 ms", &latencies.started, 0.99);
    add("recorded p50 ms", &latencies.recorded, 0.5);
    add("recorded p99 ms", &latencies.recorded, 0.99);
    add("answered p50 ms", &latencies.answered, 0.5);
    add("claimed p50 ms", &latencies.claimed, 0.5);
    Ok(())
}

async fn product(bench: &Bench, system: System, tasks: u32) -> Result<Latencies> {
    let mut deployment = warm(bench, system, Vec::new(), Work::Echo, WARM_UP_TASKS).await?;
    let requests = vec![Work::Echo.request()?; tasks as usize];
    let (unwatched, watched) = requests.split_at(requests.len() / 2);
    let pace = |requests| Pace {
        per_second: PER_SECOND,
        requests,
    };
    let unwatched = pace(unwatched).post(&deployment.server()?).await?;
    wait_until_done(&mut deployment).await?;
    let times = deployment.records().await?.times().await?;
    let times: HashMap<Uuid, Timed> = times.into_iter().map(|task| (task.id, task)).collect();
    let mut latencies = Latencies::default();
    for posted in unwatched {
        let task = times.get(&posted.sent.id).context("every task is done")?;
        latencies.answered.push(posted.answered);
        latencies
            .claimed
            .push(milliseconds(task.started_micros - posted.sent.micros));
        latencies
            .started
            .push(milliseconds(task.finished_micros - posted.sent.micros));
    }

    latencies.recorded = pace(watched).post_and_observe(&deployment).await?;
    deployment.remove().await?;
    Ok(latencies)
}

async fn celery(bench: &Bench, system: System, tasks: u32) -> Result<Latencies> {
    let mut fleet = Fleet::start(bench, system).await?;
    fleet.start_worker()?;
    fleet.fill(WARM_UP_TASKS, "bench.echo", "warm-up").await?;
    fleet.drained(WARM_UP_TASKS, DRAIN_LIMIT).await?;
    bench.postgres.checkpoint().await?;

    let mut rows = fleet.rows().await?;
    let (sender, receiver) = unbounded_channel();
    let (client, mut lines) = fleet.paced(tasks, PER_SECOND)?;
    let sending = async {
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().await? {
            let (id, micros) = line.split_once(' ').context("the client tells an id and a time")?;
            let sent = Sent {
                id: id.parse()?,
                micros: micros.parse()?,
            };
            all.push(sent);
            // Nobody receives it where there are no results.
            let _ = sender.send(sent);
        }
        drop(sender);
        client.finish(GRACE).await?;
        Ok::<_, anyhow::Error>(all)
    };
    let watching = async {
        let Some(connection) = &mut rows else {
            return Ok(Vec::new());
        };
        observe(receiver, async |ids| {
            let names: Vec<String> = ids.iter().map(Uuid::to_string).collect();
            let done: Vec<(String,)> =
                sqlx::query_as("SELECT task_id FROM celery_taskmeta WHERE task_id = ANY($1) AND status = 'SUCCESS'")
                    .bind(&names)
                    .fetch_all(&mut *connection)
                    .await?;
            Ok(done.iter().filter_map(|(id,)| id.parse().ok()).collect())
        })
        .await
    };
    let (sent, seen) = futures::try_join!(sending, watching)?;
    let sent: HashMap<Uuid, i64> = sent.iter().map(|sent| (sent.id, sent.micros)).collect();
    let mut started = Vec::new();
    wait_for(
        "Celery to run the last task",
        GRACE,
        Duration::from_millis(50),
        async || {
            let times = fleet.times()?.into_iter();
            let known = times.filter_map(|(id, micros)| Some(milliseconds(micros - sent.get(&id)?)));
            started = known.collect();
            Ok(started.len() == sent.len())
        },
    )
    .await?;
    fleet.remove().await?;
    Ok(Latencies {
        started,
        recorded: recorded(&seen),
        ..Latencies::default()
    })
}
