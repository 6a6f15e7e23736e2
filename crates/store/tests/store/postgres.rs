//! PostgreSQL behaves as every store must.

use std::sync::Arc;

use crate::conformance::Fixture;
use crate::conformance::lab::{Lab, SECOND, draft, target};
use crate::conformance::rating::set_rate;
use crate::conformance::saga_lab::{COUNTER, define, new_saga, raise, read, start};
use crate::conformance::saga_records::{SAGA_VIOLATIONS, one_in_each_phase};
use crate::support::Postgres;
use orchestratum_core::task::TaskDraft;
use orchestratum_store::{ClaimRequest, Error, Options, Store, UnofferedSearch, connect};
use orchestratum_testkit::{Chance, FaultProxy, Schema, eventually};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

async fn fixture() -> Box<dyn Fixture> {
    Box::new(Postgres::fresh(&crate::support::database_url()).await)
}

crate::conformance::suite!(crate::postgres::fixture);

/// A store, and its schema for those who look behind it.
pub(crate) async fn migrated(url: &str) -> (Schema, Arc<dyn Store>) {
    let schema = Schema::unique(url).await.expect("a schema");
    let options = Options {
        schema: schema.name().to_owned(),
        ..Options::default()
    };
    let store = connect(url, &options).await.expect("connects");
    store.migrate().await.expect("migrates");
    (schema, store)
}

#[tokio::test]
async fn an_older_program_restarts_on_a_newer_schema() {
    let url = crate::support::database_url();
    let (schema, store) = migrated(&url).await;
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let later = format!(
        "INSERT INTO {}._sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', true, '', 0)",
        schema.name()
    );
    connection
        .execute(AssertSqlSafe(later))
        .await
        .expect("a newer program was here");
    store.migrate().await.expect("there is nothing to do");
    store.check_schema().await.expect("newer is fine");
    store.close().await;
}

#[tokio::test]
async fn a_broken_rule_of_sagas_is_found_and_named() {
    let url = crate::support::database_url();
    for (damage, expected) in SAGA_VIOLATIONS {
        let (schema, store) = migrated(&url).await;
        let lab = Lab::new(store);
        one_in_each_phase(&lab).await;
        lab.assert_sound().await;
        let mut connection = PgConnection::connect(&url).await.expect("connects");
        let damage = format!("SET search_path TO {}; {damage}", schema.name());
        connection
            .execute(AssertSqlSafe(damage.clone()))
            .await
            .expect("does the damage");
        let broken = lab.store.broken_invariants(lab.now, 10).await.expect("reads");
        let rules: Vec<&str> = broken.iter().map(|broken| broken.rule).collect();
        assert!(rules.contains(&expected), "{damage}: {rules:?}");
        lab.store.close().await;
    }
}

#[tokio::test]
async fn fix_32_an_event_waits_for_whoever_holds_its_saga() {
    let url = crate::support::database_url();
    let (schema, store) = migrated(&url).await;
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let saga = start(&lab, "counter", "c-1").await;
    let mut holder = PgConnection::connect(&url).await.expect("connects");
    let hold = format!("BEGIN; SELECT 1 FROM {}.sagas FOR UPDATE", schema.name());
    holder.execute(AssertSqlSafe(hold)).await.expect("it is free");
    let held_by: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut holder)
        .await
        .expect("answers");
    let watcher = tokio::sync::Mutex::new(PgConnection::connect(&url).await.expect("connects"));
    let raising = async { raise(&lab, saga, "add").await };
    let releasing = async {
        eventually("the event waits", || async {
            let waiting: i64 =
                sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))")
                    .bind(held_by)
                    .fetch_one(&mut *watcher.lock().await)
                    .await
                    .expect("answers");
            if waiting == 1 { Ok(()) } else { Err(waiting) }
        })
        .await;
        let before = read(&lab, saga).await.instance.version;
        holder.execute("COMMIT").await.expect("lets go");
        before
    };
    let (advanced, before) = tokio::join!(raising, releasing);
    assert_eq!((before, advanced.saga.instance.version), (1, 2));
    lab.store.close().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once_with_its_place() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("an address");
    drop(held);
    let url = format!("postgres://postgres@{address}/orchestratum");
    let options = Options::default();
    let connecting = connect(&url, &options);
    let connected = tokio::time::timeout(std::time::Duration::from_secs(5), connecting).await;
    let Err(error) = connected.expect("sooner than the pool gives up") else {
        panic!("nobody listens");
    };
    assert!(error.is_transient(), "{error}");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains(&address.to_string()), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_told_with_its_place_and_the_time_it_had() {
    let (proxy, url) = FaultProxy::before(&crate::support::database_url())
        .await
        .expect("a proxy");
    let schema = Schema::unique(&crate::support::database_url()).await.expect("a schema");
    let options = Options {
        schema: schema.name().to_owned(),
        max_connections: 1,
        timeout: SECOND,
        ..Options::default()
    };
    let store = connect(&url, &options).await.expect("connects");
    store.database_time().await.expect("it answers");
    proxy.blackhole();
    let place = proxy.address().to_string();
    // One waits for its answer, or both for the only connection, whose last use does not end either.
    for _ in 0..2 {
        let error = store.database_time().await.expect_err("nothing arrives");
        assert!(error.is_transient(), "{error}");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(cause.contains("within 1 s") && cause.contains(&place), "{cause}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_told_as_such_and_long_before_the_pool_gives_up() {
    let (proxy, url) = FaultProxy::before(&crate::support::database_url())
        .await
        .expect("a proxy");
    let schema = Schema::unique(&crate::support::database_url()).await.expect("a schema");
    let options = Options {
        schema: schema.name().to_owned(),
        timeout: SECOND * 60,
        ..Options::default()
    };
    let store = connect(&url, &options).await.expect("connects");
    store.database_time().await.expect("it answers");
    let place = proxy.address().to_string();
    proxy.cut();
    drop(proxy);
    let expected = format!("error communicating with database: {place}: connection refused");
    let told = async {
        loop {
            let error = store.database_time().await.expect_err("nobody listens");
            assert!(error.is_transient(), "{error}");
            let cause = std::error::Error::source(&error).expect("a cause").to_string();
            // The first may meet the proxy while it ends.
            if cause == expected {
                break;
            }
        }
    };
    let patience = SECOND * 30;
    tokio::time::timeout(patience, told)
        .await
        .expect("sooner than the pool gives up");
}

/// A claim of targets with a rate is several transactions.
#[tokio::test]
async fn what_was_claimed_is_given_although_a_later_part_of_the_claim_fails() {
    let url = crate::support::database_url();
    let (schema, store) = migrated(&url).await;
    let lab = Lab::new(store);
    let rated = TaskDraft {
        target: Some("rated".to_owned()),
        ..draft("echo")
    };
    let claimed = lab.create(rated).await;
    let damaged = lab.create(draft("echo")).await;
    set_rate(&lab, "rated", Some((1, SECOND, 1))).await;
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let damage = format!(
        "UPDATE {}.tasks SET trace_parent = 'none' WHERE id = '{damaged}'",
        schema.name()
    );
    connection.execute(AssertSqlSafe(damage)).await.expect("damaged");
    let worker = lab.worker(&["rated", "default"], &["echo"]).await;
    let request = ClaimRequest {
        targets: vec![target("rated"), target("default")],
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&request).await, [claimed]);
    lab.store.close().await;
}

/// Statistics are taken now and then; what is true of the backlog a moment later they cannot know.
#[tokio::test]
async fn a_claim_never_walks_the_index_of_deadlines() {
    const TASKS: usize = 20_000;
    let url = crate::support::database_url();
    let (schema, store) = migrated(&url).await;
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let mut lab = Lab::new(store);
    let with_ttl = |seconds| TaskDraft {
        ttl_seconds: Some(seconds),
        ..draft("echo")
    };
    let fill = async |lab: &Lab, seconds: f64| {
        for _ in 0..TASKS / 1_000 {
            let tasks = (0..1_000).map(|_| lab.task_of(with_ttl(seconds))).collect();
            lab.try_create(tasks, None).await;
        }
    };
    fill(&lab, 1.0).await;
    let analyze = format!(
        "ALTER TABLE {0}.dispatches SET (autovacuum_enabled = false); ANALYZE {0}.dispatches",
        schema.name()
    );
    connection.execute(AssertSqlSafe(analyze)).await.expect("analyzed");
    lab.advance(SECOND * 60);
    fill(&lab, 3_600.0).await;

    let worker = lab.echo_worker().await;
    assert_eq!(lab.claim(worker).await.len(), 100);
    let search = UnofferedSearch {
        target: target("default"),
        after: None,
        since: lab.now - SECOND,
        now: lab.now,
        names: 100,
        tasks: 100,
    };
    lab.store.unoffered(&search).await.expect("works");
    lab.store.close().await;
    // A connection that ends tells how often it used each index.
    let scans = async |connection: &mut PgConnection, index: &str| {
        let scans: i64 =
            sqlx::query_scalar("SELECT idx_scan FROM pg_stat_user_indexes WHERE schemaname = $1 AND indexrelname = $2")
                .bind(schema.name())
                .bind(index)
                .fetch_one(connection)
                .await
                .expect("the index is there");
        scans
    };
    eventually("the figures are told", || async {
        let mut connection = PgConnection::connect(&url).await.map_err(|error| error.to_string())?;
        match scans(&mut connection, "dispatches_ready").await {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(scans(&mut connection, "dispatches_deadline").await, 0);
}

#[tokio::test]
async fn what_is_too_long_for_an_index_is_told_as_data_that_are_refused() {
    let postgres = Postgres::fresh(&crate::support::database_url()).await;
    let lab = Lab::new(postgres.store());
    define(&lab, COUNTER).await;
    // No compression makes it short enough.
    let mut chance = Chance::new(1);
    let long: Vec<String> = (0..800).map(|_| chance.draw().to_string()).collect();
    let long = long.concat();
    let saga = new_saga(&lab, "counter", &long);
    let error = lab
        .store
        .start_sagas(&[saga], lab.now)
        .await
        .expect_err("it is refused");
    assert!(matches!(error, Error::Rejected(_)), "{error:?}");
}
