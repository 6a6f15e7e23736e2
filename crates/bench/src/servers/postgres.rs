//! PostgreSQL: a database for each deployment, so that nothing of one run weighs on the next.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use url::Url;

use crate::machine::parent_of;

/// How long a database may take to come and go: dropping one waits for a checkpoint.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Postgres {
    url: Url,
    process: u32,
    facts: PostgresFacts,
    databases: Cell<u32>,
}

/// The settings that decide what a commit costs.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub(crate) struct PostgresFacts {
    version: String,
    fsync: String,
    synchronous_commit: String,
    shared_buffers: String,
}

impl Postgres {
    pub(crate) async fn find(url: &Url) -> Result<Self> {
        let mut connection = connect(url).await?;
        let facts = sqlx::query_as(
            "SELECT
                current_setting('server_version') AS version,
                current_setting('fsync') AS fsync,
                current_setting('synchronous_commit') AS synchronous_commit,
                current_setting('shared_buffers') AS shared_buffers",
        );
        let facts = facts.fetch_one(&mut connection).await?;
        let (backend,): (i32,) = sqlx::query_as("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await?;
        // The server itself is what starts the process that answers us; its descendants do all of its work.
        let process = parent_of(backend.unsigned_abs()).context("DATABASE_URL must be a server on this machine")?;
        Ok(Self {
            url: url.clone(),
            process,
            facts,
            databases: Cell::new(0),
        })
    }

    pub(crate) fn process(&self) -> u32 {
        self.process
    }

    pub(crate) fn facts(&self) -> &PostgresFacts {
        &self.facts
    }

    pub(crate) async fn create_database(&self) -> Result<Database> {
        let number = self.databases.replace(self.databases.get() + 1);
        let name = format!("{}{number}", prefix());
        let mut connection = connect(&self.url).await?;
        execute(&mut connection, format!("CREATE DATABASE {name}")).await?;
        let mut url = self.url.clone();
        url.set_path(&name);
        Ok(Database {
            name,
            url,
            server: self.url.clone(),
        })
    }

    /// Those of this run that are still there.
    pub(crate) async fn remove_databases(&self) -> Result<()> {
        let mut connection = connect(&self.url).await?;
        let names: Vec<(String,)> =
            sqlx::query_as("SELECT datname::text FROM pg_database WHERE starts_with(datname, $1)")
                .bind(prefix())
                .fetch_all(&mut connection)
                .await?;
        for (name,) in names {
            execute(&mut connection, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        }
        Ok(())
    }

    /// Writes out what earlier work left in memory, so that it is not written during the measuring.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        let mut connection = connect(&self.url).await?;
        execute(&mut connection, "CHECKPOINT".to_owned()).await
    }
}

#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    pub(crate) url: Url,
    server: Url,
}

impl Database {
    /// A connection that sees the tables of the product without naming their schema.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        connect(&self.url).await
    }

    /// Transactions of everyone in this database so far; asked from another one, so that asking does not count.
    pub(crate) async fn transactions(&self) -> Result<i64> {
        let mut connection = connect(&self.server).await?;
        let (count,) = sqlx::query_as("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1")
            .bind(&self.name)
            .fetch_one(&mut connection)
            .await?;
        Ok(count)
    }

    pub(crate) async fn remove(self) -> Result<()> {
        let mut connection = connect(&self.server).await?;
        execute(&mut connection, format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }
}

fn prefix() -> String {
    format!("orchestratum_bench_{}_", std::process::id())
}

async fn connect(url: &Url) -> Result<PgConnection> {
    let options: PgConnectOptions = url.as_str().parse().context("DATABASE_URL is no URL of PostgreSQL")?;
    let options = options
        .options([("search_path", "orchestratum,public")])
        .disable_statement_logging();
    let connection = tokio::time::timeout(STATEMENT_LIMIT, PgConnection::connect_with(&options)).await;
    connection
        .context("PostgreSQL does not answer")?
        .context("cannot connect to PostgreSQL")
}

/// For statements that take no parameters; the names in them are our own.
async fn execute(connection: &mut PgConnection, statement: String) -> Result<()> {
    let shown = statement.clone();
    let done = tokio::time::timeout(
        STATEMENT_LIMIT,
        sqlx::query(AssertSqlSafe(statement)).execute(connection),
    )
    .await;
    done.with_context(|| format!("`{shown}` took too long"))?
        .with_context(|| format!("`{shown}` failed"))?;
    Ok(())
}
