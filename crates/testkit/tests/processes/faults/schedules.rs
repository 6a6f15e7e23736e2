//! Schedules while the processes that look at them are killed: no slot is lost, and none has two tasks.

use std::time::Duration;

use anyhow::Context;
use orchestratum_testkit::{Broker, Cluster, Process, binary, eventually_within, rounds};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

const SCHEDULES: i64 = 20;

/// Another api on the same database, which nobody asks anything.
fn second_api(cluster: &Cluster, folder: &TempDir, number: usize) -> anyhow::Result<Process> {
    let mut environment = cluster.environment().clone();
    environment.insert("ORCHESTRATUM__API__LISTEN".to_owned(), "127.0.0.1:0".to_owned());
    let log = folder.path().join(format!("second-{number}.log"));
    Process::start(&binary("orchestratum-api")?, &[], &environment, log)
}

/// For questions that no caller has.
async fn database(cluster: &Cluster) -> anyhow::Result<PgConnection> {
    let setting = |name: &str| cluster.environment().get(name).cloned().unwrap_or_default();
    let mut connection = PgConnection::connect(&setting("ORCHESTRATUM__DATABASE__URL")).await?;
    let schema = setting("ORCHESTRATUM__DATABASE__SCHEMA");
    let search = AssertSqlSafe(format!("SET search_path = \"{schema}\""));
    connection.execute(search).await?;
    Ok(connection)
}

async fn created(cluster: &Cluster, schedule: &Value) -> anyhow::Result<String> {
    let created = cluster.api.post("/api/schedules").json(schedule).send().await?;
    let created: Value = created.error_for_status()?.json().await?;
    Ok(created["id"].as_str().context("an id")?.to_owned())
}

async fn fired(cluster: &Cluster) -> anyhow::Result<i64> {
    let mut database = database(cluster).await?;
    let (fired,) = sqlx::query_as("SELECT count(*) FROM tasks WHERE slot IS NOT NULL")
        .fetch_one(&mut database)
        .await?;
    Ok(fired)
}

async fn until_fired(cluster: &Cluster, count: i64) {
    eventually_within(PATIENCE, &format!("{count} slots are tasks"), || async {
        match fired(cluster).await {
            Ok(fired) if fired >= count => Ok(()),
            Ok(fired) => Err(fired.to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

/// Each schedule has so many more slots than it had.
async fn until_more(cluster: &Cluster, seconds: i64) -> anyhow::Result<()> {
    let before = fired(cluster).await?;
    until_fired(cluster, before + seconds * SCHEDULES).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_lose_and_double_no_slot_while_both_apis_are_killed_in_turns() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder().broker(Broker::None).workers(0).start().await?;
    let folder = tempfile::tempdir()?;
    let mut second = second_api(&cluster, &folder, 0)?;
    let each_second = json!({
        "name": "each second", "cron": "* * * * * *", "overlap": "allow", "misfire": "catch_up",
        "task": {"name": "echo", "input": "${ schedule.slot }"}
    });
    for _ in 0..SCHEDULES {
        created(&cluster, &each_second).await?;
    }
    for round in rounds("schedules under kills", 1) {
        for turn in 0..3 {
            until_more(&cluster, 2).await?;
            cluster.restart_api().await?;
            until_more(&cluster, 2).await?;
            second.kill()?;
            second = second_api(&cluster, &folder, round * 3 + turn + 1)?;
        }
    }
    until_more(&cluster, 2).await?;
    let mut database = database(&cluster).await?;
    let (schedules, tasks, slots, steps): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT
            count(DISTINCT schedule_id), count(*), count(DISTINCT (schedule_id, slot)),
            count(*) FILTER (WHERE step <> INTERVAL '1 second')
        FROM (
            SELECT schedule_id, slot, slot - lag(slot) OVER (PARTITION BY schedule_id ORDER BY slot) AS step FROM tasks
        ) AS fired",
    )
    .fetch_one(&mut database)
    .await?;
    assert_eq!((schedules, tasks), (SCHEDULES, slots), "no slot twice");
    assert_eq!(steps, 0, "each second has its slot");
    assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    Ok(())
}

/// A hundred thousand schedules, a tenth of them due in the same second. How soon the last of those is a task is for the benchmark
/// to judge; here it is that each becomes one, however many look.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_schedules_that_are_due_at_once_all_become_tasks() -> anyhow::Result<()> {
    const ALL: i64 = 100_000;
    const DUE: i64 = 10_000;
    let cluster = Cluster::builder().broker(Broker::None).workers(0).start().await?;
    let folder = tempfile::tempdir()?;
    let _second = second_api(&cluster, &folder, 0)?;
    let hourly = json!({"name": "hourly", "cron": "0 * * * *", "paused": true, "task": {"name": "echo"}});
    let id = created(&cluster, &hourly).await?;
    let mut database = database(&cluster).await?;
    // Through the interface it would take minutes.
    sqlx::query(
        "INSERT INTO schedules (
            id, name, cron, time_zone, task, overlap, misfire, jitter_ms, paused, created_at, updated_at, next_slot, wake_at
        )
        SELECT gen_random_uuid(), name, cron, time_zone, task, overlap, misfire, jitter_ms, false, created_at, updated_at,
            slot, slot
        FROM schedules
        CROSS JOIN generate_series(1, $2) AS number
        CROSS JOIN LATERAL (
            SELECT date_trunc('second', now()) + CASE WHEN number <= $3 THEN INTERVAL '15 s' ELSE INTERVAL '1 d' END AS slot
        ) AS due
        WHERE id = $1::uuid",
    )
    .bind(&id)
    .bind(ALL)
    .bind(DUE)
    .execute(&mut database)
    .await?;
    until_fired(&cluster, DUE).await;
    let (tasks, seconds): (i64, f64) = sqlx::query_as(
        "SELECT count(*), EXTRACT(EPOCH FROM max(created_at) - min(slot))::double precision
        FROM tasks WHERE schedule_id IS NOT NULL",
    )
    .fetch_one(&mut database)
    .await?;
    println!("{DUE} of {ALL} schedules were due at once: the last became a task {seconds:.2} s later");
    assert_eq!(tasks, DUE, "one each");
    assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    Ok(())
}
