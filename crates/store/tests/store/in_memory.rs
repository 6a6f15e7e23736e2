//! SQLite in memory behaves as every store must.

use std::sync::Arc;

use crate::conformance::Fixture;
use orchestratum_store::{Options, Store, connect};

struct Memory(Arc<dyn Store>);

#[async_trait::async_trait]
impl Fixture for Memory {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0)
    }

    async fn remove(self: Box<Self>) {}
}

async fn fixture() -> Box<dyn Fixture> {
    let store = connect("sqlite::memory:", &Options::default()).await.expect("opens");
    store.migrate().await.expect("migrates");
    Box::new(Memory(store))
}

crate::conformance::suite!(crate::in_memory::fixture);
