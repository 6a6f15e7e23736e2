//! What events cost that callers send to sagas: many sagas at once, one saga from many callers, and one event among a hundred
//! thousand sagas that wait; and how soon timers fire that became due while nothing ran.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use crate::arguments::Measure;
use crate::bench::Bench;
use crate::load::{Lane, Server, shares};
use crate::machine::{monotonic_now, wall_clock_micros};
use crate::results::{Results, System, quantile};
use crate::systems::orchestratum::{Deployment, Story};
use crate::systems::wait_for;

use super::pacing::milliseconds;

const SAGAS: u32 = 1_000;
const CALLERS: u32 = 64;
/// How long after the start of a saga its timer is due; all are started by then and the processes are gone.
const TIMER_SECONDS: u32 = 4;
const TIMERS: u32 = 100;
const TIMER_LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let mut add = |figure, value| results.add(Measure::Events, system, figure, value);
    let deployment = Deployment::start(bench, system).await?;
    deployment.define(Story::Counter).await?;
    let server = deployment.server()?;
    deployment.start_sagas(Story::Counter, SAGAS + 1).await?;
    let sagas = deployment.records().await?.sagas().await?;
    let (alone, sagas) = sagas.split_first().context("sagas were started")?;

    let events = bench.sizes.events;
    raise(&server, sagas, SAGAS).await?;
    let started = monotonic_now();
    raise(&server, sagas, events).await?;
    add("events/s", f64::from(events) / started.elapsed().as_secs_f64());
    let taken = deployment.records().await?.inputs_of_sagas().await?;
    let expected = i64::from(SAGAS + 1 + SAGAS + events);
    ensure!(
        taken == expected,
        "sagas were started and told {expected} times, and have taken {taken}"
    );

    let rounds = bench.sizes.event_rounds;
    let contended = contended(&server, *alone, rounds).await?;
    counted(&server, *alone, rounds * CALLERS).await?;
    add("one saga p50 ms", quantile(&contended, 0.5));
    add("one saga p99 ms", quantile(&contended, 0.99));

    let requests = bench.sizes.history_requests;
    let few = one_by_one(&server, sagas, requests).await?;
    deployment
        .start_sagas(Story::Counter, bench.sizes.waiting_sagas)
        .await?;
    bench.postgres.checkpoint().await?;
    let many = one_by_one(&server, sagas, requests).await?;
    add("few p50 ms", quantile(&few, 0.5));
    add("few p99 ms", quantile(&few, 0.99));
    add("many p50 ms", quantile(&many, 0.5));
    add("many p99 ms", quantile(&many, 0.99));
    deployment.remove().await?;

    add("timer after ready s", timer_after_restart(bench, system).await?);
    Ok(())
}

/// So many events from all callers, each of whom goes through the sagas.
async fn raise(server: &Server, sagas: &[Uuid], events: u32) -> Result<()> {
    let lanes = try_join_all((0..CALLERS).map(|_| server.lane())).await?;
    let work = lanes.into_iter().zip(shares(events, CALLERS)).enumerate();
    try_join_all(work.map(|(caller, (mut lane, share))| async move {
        // Callers begin at different sagas: they meet at some, not at each.
        let first = caller * sagas.len() / CALLERS as usize;
        for saga in sagas.iter().cycle().skip(first).take(share as usize) {
            raise_one(&mut lane, *saga).await?;
        }
        Ok::<_, anyhow::Error>(())
    }))
    .await?;
    Ok(())
}

/// All callers raise an event of one saga at the same moment, over and over: what each request took, in milliseconds.
async fn contended(server: &Server, saga: Uuid, rounds: u32) -> Result<Vec<f64>> {
    let mut lanes = try_join_all((0..CALLERS).map(|_| server.lane())).await?;
    let mut took = Vec::new();
    for _ in 0..rounds {
        let round = lanes.iter_mut().map(|lane| raise_one(lane, saga));
        took.extend(try_join_all(round).await?);
    }
    Ok(took)
}

/// One request at a time.
async fn one_by_one(server: &Server, sagas: &[Uuid], requests: u32) -> Result<Vec<f64>> {
    let mut lane = server.lane().await?;
    let mut took = Vec::new();
    for saga in sagas.iter().cycle().take(requests as usize) {
        took.push(raise_one(&mut lane, *saga).await?);
    }
    Ok(took)
}

async fn raise_one(lane: &mut Lane, saga: Uuid) -> Result<f64> {
    let body = Bytes::from(serde_json::to_vec(&json!({"name": "counted", "data": {"number": 1}}))?);
    let sent = monotonic_now();
    let answer = lane
        .send(Method::POST, &format!("/api/sagas/{saga}/events"), body)
        .await?;
    answer.expect(StatusCode::OK)?;
    Ok(sent.elapsed().as_secs_f64() * 1_000.0)
}

/// None was lost and none was taken twice.
async fn counted(server: &Server, saga: Uuid, expected: u32) -> Result<()> {
    let answer = server
        .get(&format!("/api/sagas/{saga}"))
        .await?
        .expect(StatusCode::OK)?;
    let saga: Value = serde_json::from_slice(&answer)?;
    let count = saga["context"]["count"].as_u64();
    ensure!(
        count == Some(expected.into()),
        "{expected} events were answered with 200 and the saga has counted {count:?}"
    );
    Ok(())
}

/// Seconds from ready to the first timer of those that became due while no process ran.
async fn timer_after_restart(bench: &Bench, system: System) -> Result<f64> {
    let story = Story::Timer { seconds: TIMER_SECONDS };
    let mut deployment = Deployment::start(bench, system).await?;
    deployment.define(story).await?;
    deployment.start_sagas(story, TIMERS).await?;
    deployment.end();
    let early = deployment.records().await?.ended_sagas().await?.len();
    ensure!(early == 0, "{early} timers fired before the processes had ended");
    sleep(Duration::from_secs(u64::from(TIMER_SECONDS) + 1)).await;
    deployment.start_again().await?;
    let ready = wall_clock_micros();
    let mut records = deployment.records().await?;
    let mut first = None;
    wait_for(
        "the timers to fire",
        TIMER_LIMIT,
        Duration::from_millis(20),
        async || {
            let ended = records.ended_sagas().await?;
            first = ended.iter().min().copied();
            Ok(ended.len() == TIMERS as usize)
        },
    )
    .await?;
    let first = first.context("a timer has fired")?;
    deployment.remove().await?;
    // One that fired before the api was ready was not late.
    Ok((milliseconds(first - ready) / 1_000.0).max(0.0))
}
