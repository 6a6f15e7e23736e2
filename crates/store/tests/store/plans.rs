//! How PostgreSQL goes about the statements that drain a queue, on a table that is new: it has many rows and no statistics yet, as
//! in every installation's first minutes. A plan that compares each row with each report is a thousand times slower there.

use orchestratum_store::statements;
use orchestratum_testkit::Schema;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

/// So many that the planner takes a plan that can begin at once for as cheap as one that hashes first.
const ROWS: i32 = 60_000;
const BATCH: i64 = 1_000;

/// A connection to a schema in which so many tasks run.
async fn filled() -> (Schema, PgConnection) {
    let url = crate::support::database_url();
    let (schema, store) = crate::postgres::migrated(&url).await;
    store.close().await;
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let fill = format!(
        "SET search_path TO {};
        ALTER TABLE tasks SET (autovacuum_enabled = false);
        ALTER TABLE dispatches SET (autovacuum_enabled = false);
        INSERT INTO tasks (
            id, name, target, input, backoff, ttl_ms, max_retries, max_losses, retries_left, losses_left, priority,
            created_at, scheduled_at, expires_at, status, attempt, worker_id, started_at
        )
        SELECT gen_random_uuid(), 'echo', 'default', 'null', '{{}}', 1000, 0, 3, 0, 3, 0, now(), now(),
            now() + INTERVAL '1 day', 1, 1, gen_random_uuid(), now()
        FROM generate_series(1, {ROWS})",
        schema.name()
    );
    connection
        .execute(AssertSqlSafe(fill))
        .await
        .expect("the tasks are there");
    (schema, connection)
}

#[tokio::test]
async fn reports_are_not_compared_with_every_task_of_a_new_table() {
    let (_schema, mut connection) = filled().await;
    let ids: Vec<(Uuid,)> = sqlx::query_as("SELECT id FROM tasks LIMIT $1")
        .bind(BATCH)
        .fetch_all(&mut connection)
        .await
        .expect("tasks");
    let ids: Vec<Uuid> = ids.into_iter().map(|(id,)| id).collect();
    let nothing = vec![None::<String>; ids.len()];
    let explain = format!("EXPLAIN {}", statements::COMPLETE);
    let plan: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(explain))
        .bind(&ids)
        .bind(vec![1; ids.len()])
        .bind(&nothing)
        .bind(vec![None::<i32>; ids.len()])
        .bind(vec![None::<i64>; ids.len()])
        .bind(chrono::DateTime::<chrono::Utc>::UNIX_EPOCH)
        .fetch_all(&mut connection)
        .await
        .expect("a plan");
    let plan: Vec<String> = plan.into_iter().map(|(line,)| line).collect();
    let update = plan.iter().position(|line| line.contains("Update on tasks"));
    assert!(update.is_some(), "{plan:#?}");
    assert!(!plan.iter().any(|line| line.contains("Join Filter")), "{plan:#?}");
}
