//! How long a person waits for the first question of a balance: from the call that starts it until it is answered with what is to be
//! entered, while GitLab takes 5 ms for each answer. One balance after the other, each with a branch of its own.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use orchestratum_testkit::{Fault, FaultKind, GitlabDouble, OWNER_TOKEN, PROJECT};
use serde_json::{Value, json};

use crate::arguments::Measure;
use crate::bench::Bench;
use crate::load::{Lane, Server};
use crate::machine::monotonic_now;
use crate::results::{Results, System, quantile};
use crate::systems::orchestratum::Deployment;

/// What GitLab takes for an answer, beside the work of the double.
const GITLAB_MS: u64 = 5;

const WARM_UP_BALANCES: u32 = 5;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let gitlab = GitlabDouble::start()?;
    give_figures(&gitlab).await?;
    let slow = FaultKind::SlowAnswer {
        milliseconds: GITLAB_MS,
    };
    let slow = Fault {
        method: None,
        path: String::new(),
        times: u32::MAX,
        kind: slow,
    };
    gitlab.control().fail(&slow).await?;
    let settings = vec![
        ("GITLAB__URL", gitlab.url().into()),
        ("GITLAB__TOKEN", OWNER_TOKEN.into()),
    ];
    let mut deployment = Deployment::start_with(bench, system, settings).await?;
    deployment.start_worker().await?;
    let mut lane = deployment.server()?.lane().await?;
    for issue in 1..=WARM_UP_BALANCES {
        asked(&mut lane, issue).await?;
    }
    bench.postgres.checkpoint().await?;
    let mut waits = Vec::new();
    for issue in WARM_UP_BALANCES + 1..=WARM_UP_BALANCES + bench.sizes.balances {
        let called = monotonic_now();
        asked(&mut lane, issue).await?;
        waits.push(called.elapsed().as_secs_f64() * 1_000.0);
    }
    for (figure, part) in [("asked p50 ms", 0.5), ("asked p99 ms", 0.99)] {
        results.add(Measure::Balance, system, figure, quantile(&waits, part));
    }
    deployment.remove().await
}

/// The file of which the input of the condenser is made.
async fn give_figures(gitlab: &GitlabDouble) -> Result<()> {
    let figures = json!({
        "turbine": {"exhaust": {"flow_kg_s": 10, "enthalpy_kj_kg": 2_300}},
        "cooling_water": {"inlet_c": 15, "outlet_c": 20}, "condensate": {"enthalpy_kj_kg": 140},
    });
    let commit = json!({"branch": "main", "commit_message": "Give the figures", "actions": [
        {"action": "create", "file_path": "balance_input.json", "content": figures.to_string()}]});
    let address: SocketAddr = gitlab.url().trim_start_matches("http://").parse()?;
    let mut lane = Server::new(address, &format!("Bearer {OWNER_TOKEN}"))?.lane().await?;
    let path = "/api/v4/projects/1/repository/commits";
    lane.send(Method::POST, path, body(&commit)?)
        .await?
        .expect(StatusCode::CREATED)?;
    Ok(())
}

/// Starts the balance of an issue, and is asked for the input of its condenser.
async fn asked(lane: &mut Lane, issue: u32) -> Result<()> {
    let request = json!({"project": PROJECT, "issue_iid": issue});
    let answer = lane
        .send(Method::POST, "/saga/calculate-balance", body(&request)?)
        .await?;
    let answer = answer.expect(StatusCode::OK)?;
    let told: Value = serde_json::from_slice(&answer).context("the answer is no JSON")?;
    ensure!(told["step"] == "AWAIT_USER_CONDENSER_INPUT", "nobody was asked: {told}");
    Ok(())
}

fn body(value: &Value) -> Result<Bytes> {
    Ok(serde_json::to_vec(value)?.into())
}
