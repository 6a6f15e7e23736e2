//! The broker that is none, on both databases.

use std::sync::Arc;

use orchestratum_broker::{Broker, DatabaseBroker, Signal};
use orchestratum_core::TaskId;
use orchestratum_store::{Options, Store, connect};

use crate::conformance::{Pair, holds};
use crate::harness::{healthy, heard, required, target, unique};

async fn store(url: &str, schema: &str) -> Arc<dyn Store> {
    let options = Options {
        schema: schema.to_owned(),
        ..Options::default()
    };
    let store = connect(url, &options).await.expect("the database answers");
    store.migrate().await.expect("a new schema");
    store
}

#[tokio::test]
async fn the_database_broker_conforms_on_sqlite() {
    // SQLite has one owner process, so both brokers are in it.
    let store = store("sqlite::memory:", "").await;
    let broker = || Arc::new(DatabaseBroker::start(Arc::clone(&store)));
    let (here, there) = (broker(), broker());
    holds(Pair { here, there }).await;
}

#[tokio::test]
async fn the_database_broker_conforms_on_postgresql() {
    let (url, schema) = (required("DATABASE_URL"), unique("broker").replace('-', "_"));
    let (store_here, store_there) = (store(&url, &schema).await, store(&url, &schema).await);
    let here = Arc::new(DatabaseBroker::start(Arc::clone(&store_here)));
    let there = Arc::new(DatabaseBroker::start(Arc::clone(&store_there)));
    holds(Pair { here, there }).await;
    store_here.close().await;
    store_there.close().await;
    drop_schema(&url, &schema).await;
}

async fn drop_schema(url: &str, schema: &str) {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(url).await.expect("the database answers");
    // The name is our own.
    let statement = sqlx::AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .expect("it is ours");
}

#[tokio::test]
async fn a_burst_of_signals_is_put_together_and_nothing_of_it_is_lost() {
    let store = store("sqlite::memory:", "").await;
    let here = DatabaseBroker::start(Arc::clone(&store));
    let there = DatabaseBroker::start(store);
    healthy(&here).await;
    healthy(&there).await;
    let mut at_there = there.signals();
    let tasks: Vec<TaskId> = (0..5_000_u128)
        .map(|number| TaskId(uuid::Uuid::from_u128(number)))
        .collect();
    for task in &tasks {
        here.signal(Signal::Finished { tasks: vec![*task] })
            .await
            .expect("open");
        let targets = vec![target("mail")];
        here.signal(Signal::Ready { targets }).await.expect("open");
    }
    let (mut heard_of, mut signals) = (Vec::new(), 0);
    while heard_of.len() < tasks.len() {
        signals += 1;
        if let Signal::Finished { tasks } = heard(&mut at_there).await {
            heard_of.extend(tasks);
        }
    }
    assert_eq!(heard_of, tasks);
    assert!(signals < tasks.len() / 10, "{signals} signals for 10,000");
    here.close().await;
    there.close().await;
}
