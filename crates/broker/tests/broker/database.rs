//! The broker that is none, on both databases.

use std::sync::Arc;

use orchestratum_broker::{Broker, DatabaseBroker, Signal};
use orchestratum_core::TaskId;
use orchestratum_store::{Options, Store, connect};
use orchestratum_testkit::Schema;

use crate::conformance::{Pair, holds};
use crate::harness::{healthy, heard, required, target};

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
    let url = required("DATABASE_URL");
    let schema = Schema::unique(&url).await.expect("a schema");
    let (store_here, store_there) = (store(&url, schema.name()).await, store(&url, schema.name()).await);
    let here = Arc::new(DatabaseBroker::start(Arc::clone(&store_here)));
    let there = Arc::new(DatabaseBroker::start(Arc::clone(&store_there)));
    holds(Pair { here, there }).await;
    store_here.close().await;
    store_there.close().await;
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
