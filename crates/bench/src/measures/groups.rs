//! What a group costs: one of no-op tasks as large as it may be, from its last end to the start of what comes after it, and how fast its
//! members drain.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use serde_json::json;

use super::pacing::milliseconds;
use super::{DRAIN_LIMIT, warm};
use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System};
use crate::systems::orchestratum::Work;
use crate::systems::wait_for;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let members = bench.sizes.group_members;
    // As many tasks are there before: the database knows by then how large its tables are.
    let mut deployment = warm(bench, system, Vec::new(), Work::Echo, members).await?;
    let group = json!({
        "template": {"name": "echo"},
        "inputs": (0..members).collect::<Vec<_>>(),
        "on_complete": {"name": "echo", "input": "${ outputs }"},
    });
    let group: Bytes = serde_json::to_vec(&group)?.into();
    deployment.server()?.post_all("/api/groups", &group, 1, 1).await?;
    let mut records = deployment.records().await?;
    let (before, all) = (members as usize, 2 * members as usize + 1);
    wait_for(
        "what comes after the group",
        DRAIN_LIMIT,
        Duration::from_millis(250),
        async || {
            deployment.check()?;
            Ok(records.times().await?.len() == all)
        },
    )
    .await?;
    let mut times = records.times().await?;
    times.sort_unstable_by_key(|task| task.finished_micros);
    times.drain(..before);
    // It started when all others had ended, or it was started too soon.
    let after = times.pop().context("a task after the group")?;
    let first = times.iter().map(|task| task.started_micros).min().context("a member")?;
    let last = times.last().context("a member")?.finished_micros;
    let drained = f64::from(members) * 1e6 / (last - first) as f64;
    let joined = records.group_ended().await?;
    let mut add = |figure, value| results.add(Measure::Groups, system, figure, value);
    add("members/s", drained);
    add("last end to join ms", milliseconds(joined - last));
    add("last end to start ms", milliseconds(after.started_micros - last));
    deployment.remove().await
}
