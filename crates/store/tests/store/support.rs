//! PostgreSQL for tests: a schema of its own for each.

use std::sync::Arc;

use crate::conformance::Fixture;
use orchestratum_store::{Options, Store, connect};
use orchestratum_testkit as testkit;

pub(crate) fn database_url() -> String {
    std::env::var("DATABASE_URL").expect(
        "these tests need PostgreSQL: set DATABASE_URL to a server they may create schemas in, \
         or run `cargo xtask test`, which starts one",
    )
}

/// A store in a fresh, migrated schema, which goes at the end, also of a test that fails.
pub(crate) struct Postgres {
    store: Arc<dyn Store>,
    _schema: testkit::Schema,
}

impl Postgres {
    /// The store reaches the server by `url`, which may lead through something.
    pub(crate) async fn fresh(url: &str) -> Self {
        let schema = testkit::Schema::unique(&database_url()).await.expect("a schema");
        let options = Options {
            schema: schema.name().to_owned(),
            // Tests run side by side on one server.
            max_connections: 4,
            ..Options::default()
        };
        let store = connect(url, &options).await.expect("connects");
        store.migrate().await.expect("migrates");
        Self { store, _schema: schema }
    }
}

#[async_trait::async_trait]
impl Fixture for Postgres {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    async fn remove(self: Box<Self>) {}
}
