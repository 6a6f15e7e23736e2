//! A schema of a test's own on a PostgreSQL that may be somebody's.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::name;

/// Those of a test process that was killed are found by their [name](crate::name).
const LEFT_OVER: &str = "
    SELECT nspname
    FROM pg_namespace
    WHERE CASE WHEN nspname ~ '^orchestratum_test_[0-9a-f]{12}_[0-9a-f]{8}$' THEN
        to_timestamp(('x' || substr(nspname, 19, 12))::bit(48)::bigint / 1000.0) < now() - interval '1 hour'
    ELSE false END";

const DEADLINE: Duration = Duration::from_secs(20);

/// The name of a schema that nobody else has; whatever was made in it is gone when this is dropped.
#[derive(Debug)]
pub struct Schema {
    url: String,
    name: String,
}

impl Schema {
    /// Names one on a server. It is made by whoever migrates it.
    pub async fn unique(url: &str) -> anyhow::Result<Self> {
        static SWEPT: OnceCell<()> = OnceCell::const_new();
        SWEPT
            .get_or_try_init(|| async { timeout(DEADLINE, sweep_schemas(url)).await? })
            .await?;
        Ok(Self {
            url: url.to_owned(),
            name: name::unique(),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        // A runtime cannot wait inside of another one, and a test that fails is dropped in the middle of its own.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { timeout(DEADLINE, drop_schemas(&url, &[name])).await? })
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("the schema {} could not be dropped: {error:#}", self.name),
            Err(_panic) => eprintln!("the schema {} could not be dropped", self.name),
        }
    }
}

/// Drops what test processes left that were killed.
pub async fn sweep_schemas(url: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await.context("PostgreSQL does not answer")?;
    let names: Vec<String> = sqlx::query_scalar(LEFT_OVER).fetch_all(&mut connection).await?;
    connection.close().await?;
    if let Err(error) = drop_schemas(url, &names).await {
        // Another process may be sweeping the same ones.
        eprintln!("schemas of earlier tests could not be dropped: {error:#}");
    }
    Ok(())
}

async fn drop_schemas(url: &str, names: &[String]) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    for name in names {
        // Of our own making: it needs no quotes.
        let statement = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {name} CASCADE"));
        connection.execute(statement).await?;
    }
    connection.close().await?;
    Ok(())
}
