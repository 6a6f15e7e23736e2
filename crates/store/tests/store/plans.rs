//! How PostgreSQL goes about the statements that drain a queue, on a table that is new: it has many rows and no statistics yet, as
//! in every installation's first minutes. A plan that compares each row with each report is a thousand times slower there.

use orchestratum_store::{UNINDEXED_SCAN, statements};
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

/// A saga with children.
const PARENT: &str = "'00000000-0000-0000-0000-000000000001'";

/// So many sagas, of which few are rare.
async fn filled_with_sagas() -> (Schema, PgConnection) {
    let url = crate::support::database_url();
    let (schema, store) = crate::postgres::migrated(&url).await;
    store.close().await;
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let fill = format!(
        "SET search_path TO {};
        ALTER TABLE sagas SET (autovacuum_enabled = false);
        INSERT INTO sagas (
            id, definition, definition_version, correlation_id, input, created_at, status, state, version, last_seq, instance,
            updated_at, finished_at, parent_id, parent_number, depth
        )
        SELECT gen_random_uuid(), CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'order' END, 1, n, '{{}}', now(),
            CASE WHEN n % 500 = 1 THEN 6 WHEN n % 10 = 0 THEN 0 ELSE 5 END, 'Paying', 3, 3, repeat('x', 500), now(),
            CASE WHEN n % 500 = 1 OR n % 10 <> 0 THEN now() END,
            CASE WHEN n % 1000 = 3 THEN uuid({PARENT}) END, CASE WHEN n % 1000 = 3 THEN n END,
            CASE WHEN n % 1000 = 3 THEN 1 ELSE 0 END
        FROM generate_series(1, {ROWS}) AS n",
        schema.name()
    );
    connection
        .execute(AssertSqlSafe(fill))
        .await
        .expect("the sagas are there");
    (schema, connection)
}

/// Whether a plan reads the sagas by this index alone, in its order. The children of one saga may be gathered and sorted.
fn walks(plan: &[(String,)], index: &str) -> bool {
    let scans = plan.iter().map(|(line,)| line);
    let scans: Vec<&String> = scans
        .filter(|line| line.contains("Scan") && !line.contains("Subquery Scan"))
        .collect();
    let walks = |scan: &&String| scan.contains(index) && !scan.contains("Bitmap");
    let gathers = |scan: &&String| index == "sagas_parent" && scan.contains("Bitmap");
    match scans.as_slice() {
        [scan] => walks(scan),
        [heap, by] => gathers(heap) && gathers(by) && by.contains(index),
        _ => false,
    }
}

#[tokio::test]
async fn lists_of_sagas_walk_an_index_whatever_the_planner_knows() {
    let (_schema, mut connection) = filled_with_sagas().await;
    let no = "NULL";
    for analyzed in [false, true] {
        if analyzed {
            connection.execute("ANALYZE sagas").await.expect("it is done");
        }
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let set = format!("SET plan_cache_mode = {mode}");
            connection.execute(AssertSqlSafe(set)).await.expect("it is set");
            for (list, index, [definition, state, status, correlation_id, parent]) in [
                (0, "sagas_pkey", [no, "'Odd'", no, no, no]),
                (1, "sagas_correlation", [no, no, no, "'77'", no]),
                (2, "sagas_definition", ["'rare'", no, no, no, no]),
                (2, "sagas_definition", ["'order'", "'Odd'", "5", no, no]),
                (3, "sagas_status", ["'rare'", no, "6", no, no]),
                (3, "sagas_status", ["'rare'", "'Odd'", "0", no, no]),
                (4, "sagas_parent", [no, no, no, no, PARENT]),
                (4, "sagas_parent", ["'rare'", no, "0", no, PARENT]),
            ] {
                let statements = statements::SAGA_LISTS[list];
                for statement in [statements.page, statements.end] {
                    let prepare = format!(
                        "PREPARE list (uuid, bigint, text, text, smallint, text, timestamptz, bigint, bigint, uuid) AS {statement}"
                    );
                    connection
                        .execute(AssertSqlSafe(prepare))
                        .await
                        .expect("it is prepared");
                    let explain = format!(
                        "EXPLAIN EXECUTE list (
                            'ffffffff-ffff-ffff-ffff-ffffffffffff', {UNINDEXED_SCAN}, {definition}, {state}, {status},
                            {correlation_id}, now(), 51, 8000000, {parent}
                        )"
                    );
                    let plan: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(explain))
                        .fetch_all(&mut connection)
                        .await
                        .expect("a plan");
                    connection.execute("DEALLOCATE list").await.expect("it is gone");
                    assert!(walks(&plan, index), "{mode} {index} {plan:#?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_last_of_a_series_is_sought_in_its_range_alone() {
    let (_schema, mut connection) = filled_with_sagas().await;
    for analyzed in [false, true] {
        if analyzed {
            connection.execute("ANALYZE sagas").await.expect("it is done");
        }
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let prepare = format!(
                "SET plan_cache_mode = {mode}; PREPARE last (text, text) AS {}",
                statements::LAST_OF_SERIES
            );
            connection
                .execute(AssertSqlSafe(prepare))
                .await
                .expect("it is prepared");
            let plan: Vec<(String,)> = sqlx::query_as("EXPLAIN EXECUTE last ('order', '77')")
                .fetch_all(&mut connection)
                .await
                .expect("a plan");
            connection.execute("DEALLOCATE last").await.expect("it is gone");
            let lines = plan.iter().map(|(line,)| line.as_str());
            let scans: Vec<&str> = lines.filter(|line| line.contains("Scan")).collect();
            let is_sought = |scan: &&str| {
                ["sagas_pkey", "sagas_correlation", "Subquery Scan", "Bitmap Heap Scan"]
                    .iter()
                    .any(|by| scan.contains(by))
            };
            assert!(scans.iter().all(is_sought), "{mode} {plan:#?}");
            assert!(
                scans.iter().any(|scan| scan.contains("sagas_correlation")),
                "{mode} {plan:#?}"
            );
        }
    }
}

#[tokio::test]
async fn live_sagas_are_counted_by_the_index_of_statuses() {
    let (_schema, mut connection) = filled_with_sagas().await;
    connection.execute("ANALYZE sagas").await.expect("it is done");
    let explain = format!("EXPLAIN {}", statements::COUNT_LIVE_SAGAS);
    let plan: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(explain))
        .fetch_all(&mut connection)
        .await
        .expect("a plan");
    let lines = plan.iter().map(|(line,)| line.as_str());
    let scans: Vec<&str> = lines.filter(|line| line.contains("Scan")).collect();
    assert!(!scans.is_empty(), "{plan:#?}");
    assert!(scans.iter().any(|scan| scan.contains("sagas_status")), "{plan:#?}");
    assert!(scans.iter().all(|scan| !scan.contains("Seq Scan")), "{plan:#?}");
}

/// What waits is little where statistics are made, and may be much a moment later.
#[tokio::test]
async fn what_was_looked_at_is_not_compared_with_all_that_waits() {
    let url = crate::support::database_url();
    let (schema, store) = crate::postgres::migrated(&url).await;
    store.close().await;
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let events = |rows: i32, seq: &str| {
        format!(
            "INSERT INTO saga_events (saga_id, kind, number, received_at, processed_at, seq, result, version, to_state)
            SELECT gen_random_uuid(), 2, 1, now(), CASE WHEN {seq}::bigint IS NOT NULL THEN now() END, {seq},
                CASE WHEN {seq}::bigint IS NOT NULL THEN 0 END, CASE WHEN {seq}::bigint IS NOT NULL THEN 1 END,
                CASE WHEN {seq}::bigint IS NOT NULL THEN 'Paying' END
            FROM generate_series(1, {rows});"
        )
    };
    let nothing = vec!["'{}'"; 17].join(", ");
    let prepare = format!(
        "SET search_path TO {};
        SET plan_cache_mode = force_generic_plan;
        ALTER TABLE saga_events SET (autovacuum_enabled = false);
        {}
        ANALYZE saga_events;
        {}
        PREPARE write AS {}",
        schema.name(),
        events(10_000, "1"),
        events(3_000, "NULL"),
        statements::WRITE_SAGAS
    );
    connection
        .execute(AssertSqlSafe(prepare))
        .await
        .expect("it is prepared");
    let rest = vec!["'{}'"; 22].join(", ");
    let explain = format!("EXPLAIN EXECUTE write ({nothing}, now(), {rest})");
    let plan: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(explain))
        .fetch_all(&mut connection)
        .await
        .expect("a plan");
    let lines = plan.iter().map(|(line,)| line.trim());
    let part = lines.skip_while(|line| *line != "CTE arrived").skip(1);
    let part: Vec<&str> = part.take_while(|line| !line.starts_with("CTE ")).collect();
    let sought = part.iter().position(|line| line.contains("saga_events_waiting"));
    let condition = sought.and_then(|line| part.get(line + 1));
    assert!(
        condition.is_some_and(|line| line.starts_with("Index Cond") && line.contains("saga_id")),
        "{plan:#?}"
    );
    assert!(
        !part
            .iter()
            .any(|line| line.contains("Join Filter") || line.contains("Seq Scan on saga_events")),
        "{plan:#?}"
    );
}

/// Rows of a table of which statistics are made while there is nothing of this kind.
async fn plan_after(fill: &[&str], statement: &str, mode: &str, parameters: &str) -> Vec<String> {
    let url = crate::support::database_url();
    let (schema, store) = crate::postgres::migrated(&url).await;
    store.close().await;
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let manual =
        ["tasks", "sagas", "saga_events"].map(|table| format!("ALTER TABLE {table} SET (autovacuum_enabled = false)"));
    let script = format!(
        "SET search_path TO {}; SET plan_cache_mode = {mode}; {}; {}; PREPARE asked AS {statement}",
        schema.name(),
        manual.join("; "),
        fill.join("; ANALYZE; ")
    );
    connection.execute(AssertSqlSafe(script)).await.expect("it is prepared");
    let plan: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(format!("EXPLAIN EXECUTE asked ({parameters})")))
        .fetch_all(&mut connection)
        .await
        .expect("a plan");
    plan.into_iter().map(|(line,)| line).collect()
}

/// What belongs to a saga is rare where statistics are made, and may be much a moment later.
#[tokio::test]
async fn what_belongs_to_sagas_is_sought_by_its_index_whatever_the_planner_knows() {
    let events = |id: &str| {
        format!(
            "INSERT INTO saga_events (saga_id, kind, event_id, received_at, processed_at, seq, result, version, to_state)
            SELECT gen_random_uuid(), 1, {id}, now(), now(), 1, 0, 1, 'Paying' FROM generate_series(1, {ROWS}) AS n"
        )
    };
    let tasks = |saga: &str, number: &str, undoes: &str| {
        format!(
            "INSERT INTO tasks (
                id, name, target, input, backoff, ttl_ms, max_retries, max_losses, retries_left, losses_left, priority,
                created_at, scheduled_at, expires_at, status, attempt, saga_id, saga_number, saga_undoes
            )
            SELECT gen_random_uuid(), 'echo', 'default', 'null', '{{}}', 1000, 0, 3, 0, 3, 0, now(), now(),
                now() + INTERVAL '1 day', 0, 0, {saga}, {number}, {undoes}
            FROM generate_series(1, {ROWS}) AS n"
        )
    };
    let sagas = |parent: &str, number: &str, depth: u8| {
        format!(
            "INSERT INTO sagas (
                id, definition, definition_version, correlation_id, input, created_at, status, state, version, last_seq, instance,
                updated_at, parent_id, parent_number, depth
            )
            SELECT gen_random_uuid(), 'order', 1, gen_random_uuid(), '{{}}', now(), 0, 'Paying', 3, 3, repeat('x', 500), now(),
                {parent}, {number}, {depth}
            FROM generate_series(1, {ROWS}) AS n"
        )
    };
    let numbers = "array_fill(gen_random_uuid(), '{10}'), array_fill(1, '{10}')";
    let names = "array_fill(gen_random_uuid(), '{10}'), array_fill('a'::text, '{10}')";
    for (fill, statement, parameters, index) in [
        (
            [events("NULL"), events("n")],
            statements::KNOWN_EVENTS,
            names,
            "saga_events_once",
        ),
        (
            [tasks("NULL", "NULL", "NULL"), tasks("gen_random_uuid()", "1", "false")],
            statements::OPEN_TASKS,
            numbers,
            "tasks_saga",
        ),
        (
            [sagas("NULL", "NULL", 0), sagas("gen_random_uuid()", "1", 1)],
            statements::OPEN_CHILDREN,
            numbers,
            "sagas_parent",
        ),
    ] {
        let fill = fill.each_ref().map(String::as_str);
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let plan = plan_after(&fill, statement, mode, parameters).await;
            let sought = plan.iter().position(|line| line.contains(index));
            let condition = sought.and_then(|line| plan.get(line + 1));
            assert!(
                condition.is_some_and(|line| line.contains("Index Cond") && line.contains(" AND ")),
                "{mode} {plan:#?}"
            );
            assert!(
                !plan.iter().any(|line| line.contains("Join Filter")),
                "{mode} {plan:#?}"
            );
        }
    }
}
