//! A process that stands still in the middle of a transaction, such as one that was stopped or whose machine is gone, does not keep
//! its rows from all others.

use std::sync::Arc;

use crate::conformance::lab::{Lab, SECOND, draft};
use orchestratum_core::TaskId;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::{Change, Options, connect};
use orchestratum_testkit::{FaultProxy, eventually};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

fn cancel(task: TaskId) -> Change {
    Change::new(task, TaskEvent::CancelRequested { reason: None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_frozen_process_holds_is_soon_let_go() {
    let url = crate::support::database_url();
    let (schema, others) = crate::postgres::migrated(&url).await;
    let lab = Lab::new(others);
    let task = lab.create(draft("echo")).await;
    let (proxy, proxied) = FaultProxy::before(&url).await.expect("a proxy");
    let options = Options {
        schema: schema.name().to_owned(),
        max_connections: 1,
        timeout: SECOND * 5,
        ..Options::default()
    };
    let frozen = connect(&proxied, &options).await.expect("connects");

    // It waits for a row that is held, and stands still when it gets it.
    let mut holder = PgConnection::connect(&url).await.expect("connects");
    let hold = format!("BEGIN; SELECT id FROM {}.tasks FOR UPDATE", schema.name());
    holder.execute(AssertSqlSafe(hold)).await.expect("it is held");
    let (changing, now) = (Arc::clone(&frozen), lab.now);
    let changing = tokio::spawn(async move { changing.apply(&[cancel(task)], now).await });
    let mut waits = 0_i64;
    while waits == 0 {
        let asked = holder
            .fetch_one("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))");
        waits = asked.await.expect("it answers").get(0);
        assert!(!changing.is_finished(), "it ended before it had the row");
    }
    proxy.blackhole();
    holder.execute("ROLLBACK").await.expect("it is let go");
    assert!(changing.await.expect("it ends").is_err());

    // Its transaction is begun, and has the row. Nobody but the server can end it.
    eventually("the row is free", || async {
        lab.store.apply(&[cancel(task)], lab.now).await.map(drop)
    })
    .await;
    lab.assert_sound().await;
    lab.store.close().await;
}
