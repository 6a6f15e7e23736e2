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
use bytes::Bytes;
use futures::future::try_join_all;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::observer::{Seen, Sent, observe};
use super::{DRAIN_LIMIT, fill, wait_until_done};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::load::Server;
use crate::machine::wall_clock_micros;
use crate::results::{Results, System, quantile};
use crate::systems::celery::Fleet;
use crate::systems::orchestratum::{Deployment, Timed, Work};
use crate::systems::wait_for;

const PER_SECOND: u32 = 100;
/// A request that hangs delays only every eighth of the others, and those count their delay.
const LANES: u32 = 8;
const WARM_UP_TASKS: u32 = 300;
/// Connections are open by then.
const LEAD: Duration = Duration::from_millis(100);
/// How much longer than planned a run may take.
const GRACE: Duration = Duration::from_secs(60);

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
    let mut deployment = Deployment::start(bench, system).await?;
    deployment.start_worker().await?;
    fill(&deployment, Work::Echo, WARM_UP_TASKS).await?;
    wait_until_done(&mut deployment).await?;
    bench.postgres.checkpoint().await?;

    let server = deployment.server()?;
    let unwatched = post_all(&server, tasks / 2).await?;
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

    let mut records = deployment.records().await?;
    let (sender, receiver) = unbounded_channel();
    let posting = post_watched(&server, tasks - tasks / 2, sender);
    let watching = observe(receiver, async |ids| records.visible(ids).await);
    let ((), seen) = futures::try_join!(posting, watching)?;
    latencies.recorded = recorded(&seen);
    deployment.remove().await?;
    Ok(latencies)
}

struct Posted {
    sent: Sent,
    /// How long the answer took, in milliseconds.
    answered: f64,
}

async fn post_all(server: &Server, tasks: u32) -> Result<Vec<Posted>> {
    let start = Instant::now() + LEAD;
    let lanes = (0..LANES).map(|lane| async move {
        let mut posted = Vec::new();
        post_paced(server, lane, tasks, start, |one| posted.push(one)).await?;
        Ok::<_, anyhow::Error>(posted)
    });
    Ok(try_join_all(lanes).await?.into_iter().flatten().collect())
}

/// Tells of each task as soon as its id is known. The observer ends when the sender is gone.
async fn post_watched(server: &Server, tasks: u32, sender: UnboundedSender<Sent>) -> Result<()> {
    let start = Instant::now() + LEAD;
    let lanes = (0..LANES).map(|lane| {
        let sender = sender.clone();
        post_paced(server, lane, tasks, start, move |posted| {
            // Nobody receives it only after the observer has failed, which ends this, too.
            let _ = sender.send(posted.sent);
        })
    });
    try_join_all(lanes).await?;
    Ok(())
}

/// Every `LANES`th of the tasks.
async fn post_paced(
    server: &Server,
    lane: u32,
    tasks: u32,
    start: Instant,
    mut tell: impl FnMut(Posted),
) -> Result<()> {
    #[derive(Deserialize)]
    struct Created {
        id: Uuid,
    }
    let mut connection = server.lane().await?;
    let body = Bytes::from(serde_json::to_vec(&Work::Echo.body())?);
    for index in (lane..tasks).step_by(LANES as usize) {
        let intended = start + Duration::from_secs(1) * index / PER_SECOND;
        let late = Instant::now().saturating_duration_since(intended);
        sleep_until(intended).await;
        // One that is late because the request before it took too long has been waiting since it was due.
        let micros = wall_clock_micros() - i64::try_from(late.as_micros()).unwrap_or(i64::MAX);
        let answer = connection.send(Method::POST, "/api/tasks", body.clone()).await?;
        let answered = milliseconds(wall_clock_micros() - micros);
        let created: Created = serde_json::from_slice(&answer.expect(StatusCode::CREATED)?)?;
        let sent = Sent { id: created.id, micros };
        tell(Posted { sent, answered });
    }
    Ok(())
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

fn recorded(seen: &[Seen]) -> Vec<f64> {
    let waits = seen.iter().map(|seen| milliseconds(seen.micros - seen.sent.micros));
    waits.collect()
}

fn milliseconds(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}
