//! Whether a million finished tasks slow down the calls: the list and the create, one request at a time.

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use sqlx::postgres::PgConnection;

use crate::arguments::Measure;
use crate::bench::Bench;
use crate::load::Server;
use crate::machine::monotonic_now;
use crate::results::{Results, System, quantile};
use crate::systems::orchestratum::{Deployment, Work};

const WARM_UP_REQUESTS: u32 = 100;
const ROWS_A_STATEMENT: u32 = 100_000;

pub(super) async fn measure(bench: &Bench, system: System, results: &mut Results) -> Result<()> {
    let deployment = Deployment::start(bench, system).await?;
    let requests = bench.sizes.history_requests;
    let empty = p99s(bench, &deployment.server()?, requests).await?;
    // For the reader: an empty page is not the same work as a full one.
    let few = list_p99(&deployment.server()?, requests).await?;
    let mut connection = deployment.database()?.connect().await?;
    insert_finished(&mut connection, bench.sizes.history_tasks).await?;
    let full = p99s(bench, &deployment.server()?, requests).await?;
    drop(connection);
    let mut add = |figure, value| results.add(Measure::History, system, figure, value);
    add("list, empty p99 ms", empty.list);
    add("list, one page p99 ms", few);
    add("list, full p99 ms", full.list);
    add("create, empty p99 ms", empty.create);
    add("create, full p99 ms", full.create);
    deployment.remove().await
}

struct P99s {
    list: f64,
    create: f64,
}

async fn p99s(bench: &Bench, server: &Server, requests: u32) -> Result<P99s> {
    bench.postgres.checkpoint().await?;
    Ok(P99s {
        list: list_p99(server, requests).await?,
        create: p99(
            server,
            Method::POST,
            Work::Echo.request()?,
            StatusCode::CREATED,
            requests,
        )
        .await?,
    })
}

async fn list_p99(server: &Server, requests: u32) -> Result<f64> {
    p99(server, Method::GET, Bytes::new(), StatusCode::OK, requests).await
}

async fn p99(server: &Server, method: Method, body: Bytes, status: StatusCode, requests: u32) -> Result<f64> {
    let mut lane = server.lane().await?;
    let mut milliseconds = Vec::new();
    for request in 0..WARM_UP_REQUESTS + requests {
        let sent = monotonic_now();
        let answer = lane.send(method.clone(), "/api/tasks", body.clone()).await?;
        answer.expect(status)?;
        if request >= WARM_UP_REQUESTS {
            milliseconds.push(sent.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    Ok(quantile(&milliseconds, 0.99))
}

/// As the product would have left them, spread over the last ten days; a task it created is the pattern.
async fn insert_finished(connection: &mut PgConnection, tasks: u32) -> Result<()> {
    for first in (0..tasks).step_by(ROWS_A_STATEMENT as usize) {
        let last = (first + ROWS_A_STATEMENT).min(tasks) - 1;
        sqlx::query(INSERT)
            .bind(i64::from(first))
            .bind(i64::from(last))
            .bind(i64::from(tasks))
            .execute(&mut *connection)
            .await
            .context("cannot insert finished tasks")?;
    }
    // Now, and not by itself in the middle of the measuring.
    sqlx::query("VACUUM ANALYZE").execute(&mut *connection).await?;
    Ok(())
}

const INSERT: &str = "
    WITH pattern AS MATERIALIZED (
        SELECT * FROM tasks WHERE status = 0 LIMIT 1
    ),
    number AS (
        SELECT number, now() - interval '12 days' + interval '10 days' * number / $3::bigint AS ended_at
        FROM generate_series($1::bigint, $2::bigint) AS number
    ),
    task AS (
        INSERT INTO tasks (
            id, name, target, input, backoff, ttl_ms, max_retries, max_losses, priority, created_at, scheduled_at,
            expires_at, status, attempt, retries_left, losses_left, worker_id, started_at, finished_at, output
        )
        SELECT
            -- RFC 9562: the milliseconds, the version, and here the number in the place of chance.
            (
                lpad(to_hex((extract(epoch FROM ended_at) * 1000)::bigint), 12, '0')
                || '7' || lpad(to_hex(number % 4096), 3, '0')
                || '8' || lpad(to_hex(number), 15, '0')
            )::uuid,
            name, target, input, backoff, ttl_ms, max_retries, max_losses, priority, ended_at, ended_at,
            ended_at + interval '1 day', 2, 1, retries_left, losses_left, '00000000-0000-7000-8000-000000000001',
            ended_at, ended_at, input
        FROM number, pattern
        RETURNING id, worker_id, started_at, finished_at
    )
    INSERT INTO attempts (task_id, attempt, run, worker_id, outcome, started_at, ended_at)
    SELECT id, 1, 1, worker_id, 0, started_at, finished_at
    FROM task";
