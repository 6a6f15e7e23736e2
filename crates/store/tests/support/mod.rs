//! PostgreSQL for tests: a schema of its own for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use orchestratum_store::conformance::Fixture;
use orchestratum_store::{Options, Store, connect};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Tests of one process that came before.
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// A fresh, migrated schema; dropped at the end.
pub(crate) struct Schema {
    store: Arc<dyn Store>,
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Schema {
    pub(crate) async fn fresh() -> Self {
        let url = std::env::var("DATABASE_URL").expect(
            "these tests need PostgreSQL: set DATABASE_URL to a server they may create schemas in, \
             or run `cargo xtask test`, which starts one",
        );
        let sequence = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        let options = Options {
            schema: format!("conformance_{}_{sequence}", std::process::id()),
            // Tests run side by side on one server.
            max_connections: 4,
            ..Options::default()
        };
        let store = connect(&url, &options).await.expect("connects");
        store.migrate().await.expect("migrates");
        Self {
            store,
            url,
            name: options.schema,
        }
    }
}

#[async_trait::async_trait]
impl Fixture for Schema {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    async fn remove(self: Box<Self>) {
        let mut connection = PgConnection::connect(&self.url).await.expect("connects");
        let drop = format!("DROP SCHEMA {} CASCADE", self.name);
        connection.execute(AssertSqlSafe(drop)).await.expect("drops");
    }
}
