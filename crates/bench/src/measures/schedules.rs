//! Whether many schedules that are due in the same second become tasks soon, among many more that are not.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::arguments::Measure;
use crate::bench::Bench;
use crate::results::{Results, System};
use crate::systems::orchestratum::Deployment;
use crate::systems::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

/// How soon it is known that the last task is there.
const INTERVAL: Duration = Duration::from_millis(20);

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let deployment = Deployment::start(bench, system).await?;
    let pattern = json!({"name": "hourly", "cron": "0 * * * *", "paused": true, "task": {"name": "echo", "input": 1}});
    let body = Bytes::from(serde_json::to_vec(&pattern)?);
    let mut lane = deployment.server()?.lane().await?;
    lane.send(Method::POST, "/api/schedules", body)
        .await?
        .expect(StatusCode::CREATED)?;
    let mut connection = deployment.database()?.connect().await?;
    let due = i64::from(bench.sizes.schedules_due);
    sqlx::query(INSERT)
        .bind(i64::from(bench.sizes.schedules))
        .bind(due)
        .execute(&mut connection)
        .await
        .context("cannot insert schedules")?;
    bench.postgres.checkpoint().await?;
    let mut late = 0.0;
    wait_for("the schedules to become tasks", LIMIT, INTERVAL, async || {
        let (tasks, seconds): (i64, Option<f64>) = sqlx::query_as(
            "SELECT count(*), EXTRACT(EPOCH FROM clock_timestamp() - min(slot))::double precision
            FROM tasks WHERE slot IS NOT NULL",
        )
        .fetch_one(&mut connection)
        .await?;
        late = seconds.unwrap_or_default();
        Ok(tasks >= due)
    })
    .await?;
    results.add(Measure::Schedules, system, "last task s", late);
    drop(connection);
    deployment.remove().await
}

/// As the product would have left them: `$1` schedules, `$2` of which are due at the same moment, soon.
const INSERT: &str = "
    INSERT INTO schedules (
        id, name, cron, time_zone, task, overlap, misfire, jitter_ms, paused, created_at, updated_at, next_slot, wake_at
    )
    SELECT gen_random_uuid(), name, cron, time_zone, task, overlap, misfire, jitter_ms, false, created_at, updated_at,
        slot, slot
    FROM schedules
    CROSS JOIN generate_series(1, $1::bigint) AS number
    CROSS JOIN LATERAL (
        SELECT date_trunc('second', now()) + CASE WHEN number <= $2::bigint THEN INTERVAL '15 s' ELSE INTERVAL '1 d' END
            AS slot
    ) AS due";
