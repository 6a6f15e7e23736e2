//! Callers that hang up at any moment leave no transaction open.

use std::collections::BTreeSet;
use std::time::Duration;

use orchestratum_testkit::{Api, Cluster, Servers, eventually, rounds};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::{PATIENCE, echo};

const CALLERS: u64 = 8;
const CALLS: u64 = 60;

/// Transactions that nobody works on, by process and beginning.
async fn idle_in_transaction(connection: &mut PgConnection) -> anyhow::Result<BTreeSet<(i32, String)>> {
    let rows: Vec<(i32, String)> = sqlx::query_as(
        "SELECT pid, xact_start::text
        FROM pg_stat_activity
        WHERE application_name = 'orchestratum' AND state LIKE 'idle in transaction%' AND xact_start IS NOT NULL",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Calls of every kind that writes, each given up after a time of its own, from at once to when it is nearly answered.
async fn call_and_hang_up(api: Api, caller: u64, existing: Vec<String>) {
    for call in 0..CALLS {
        let id = &existing[usize::try_from(call).unwrap_or(0) % existing.len()];
        let request = match call % 4 {
            0 => api.post("/api/tasks").json(&echo(1)),
            1 => {
                let key = format!("{caller}-{call}");
                let tasks = json!({"tasks": vec![echo(2); 20]});
                api.post("/api/tasks/batch").header("idempotency-key", key).json(&tasks)
            }
            2 => api.post(&format!("/api/tasks/{id}/cancel")).json(&json!({})),
            _ => api.post(&format!("/api/tasks/{id}/retry")).json(&json!({})),
        };
        let patience = Duration::from_micros((call * 37 + caller * 11) % 60 * 100);
        let _ = timeout(patience, request.send()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_hang_up_at_any_moment_leave_no_transaction_open() -> anyhow::Result<()> {
    let cluster = Cluster::builder()
        .setting("DATABASE__MAX_CONNECTIONS", "4")
        .start()
        .await?;
    let mut observer = PgConnection::connect(&Servers::from_environment().database_url).await?;
    for _ in rounds("callers that hang up", 1) {
        let nobodys = json!({"name": "echo", "target": "nobody"});
        let mut existing = Vec::new();
        for _ in 0..10 {
            existing.push(cluster.api.create(&nobodys).await?);
        }
        let callers =
            (0..CALLERS).map(|caller| tokio::spawn(call_and_hang_up(cluster.api.clone(), caller, existing.clone())));
        for caller in callers.collect::<Vec<_>>() {
            caller.await?;
        }
        // Others use the server too, and their transactions end; one that was left open never would.
        let mut left = idle_in_transaction(&mut observer).await?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !left.is_empty() {
            assert!(tokio::time::Instant::now() < deadline, "left open: {left:?}");
            let now = idle_in_transaction(&mut observer).await?;
            left.retain(|transaction| now.contains(transaction));
        }
        // Every connection of the pool works, and on a transaction of its own.
        for number in 0..20 {
            let id = eventually("a task is created", || async {
                cluster
                    .api
                    .create(&echo(number))
                    .await
                    .map_err(|error| error.to_string())
            })
            .await;
            cluster.api.until(&id, "Completed", PATIENCE).await;
        }
        let log = cluster.api_process.output();
        assert!(
            !log.contains("25P02"),
            "a statement ran in a transaction that had failed:\n{log}"
        );
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    }
    observer.close().await?;
    Ok(())
}
