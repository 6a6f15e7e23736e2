//! DBOS, as its users run it: a library in their own processes, which writes each step into PostgreSQL; its defaults.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::orchestratum::ORDER_TASKS;
use super::packages::{self, python_with};
use super::together::{Together, run_together};
use crate::bench::Bench;
use crate::load::shares;
use crate::machine::Program;
use crate::servers::Database;

const REQUIREMENTS: &str = include_str!("../../dbos/requirements.txt");
const SCRIPT: &str = "orders.py";
const FILES: &[(&str, &str)] = &[(SCRIPT, include_str!("../../dbos/orders.py"))];
const PREPARE_LIMIT: Duration = Duration::from_secs(120);

/// The fastest on two cores of what was tried: one, two and three processes of one to 32 threads, or with `async`.
const PROCESSES: u32 = 2;
const THREADS: u32 = 2;

/// A virtual environment with DBOS, and the script beside it.
#[derive(Debug)]
pub(crate) struct Dbos {
    python: PathBuf,
    scripts: PathBuf,
    version: String,
}

impl Dbos {
    /// Installs what is not there yet.
    ///
    /// # Errors
    /// Why it cannot be had, in words.
    pub(crate) async fn install(cache: &Path) -> Result<Self, String> {
        Self::provide(&cache.join("dbos"))
            .await
            .map_err(|error| format!("{error:#}"))
    }

    async fn provide(folder: &Path) -> Result<Self> {
        let scripts = folder.join("scripts");
        packages::write_files(&scripts, FILES)?;
        let python = python_with("DBOS", REQUIREMENTS, &folder.join("environment")).await?;
        let mut ask = Command::new(&python);
        ask.args(["-c", "import importlib.metadata as m; print(m.version('dbos'))"]);
        let version = packages::printed(ask)?;
        Ok(Self {
            python,
            scripts,
            version,
        })
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Orders of four steps, from the first call to the last return.
    pub(crate) async fn orders(&self, bench: &Bench, orders: u32) -> Result<Together> {
        let folder = bench.new_folder()?;
        let database = bench.postgres.create_database().await?;
        let mut prepare = self.command(&database);
        prepare.arg("prepare");
        Program::start("prepare", prepare, &folder)?
            .finish(PREPARE_LIMIT)
            .await?;
        bench.postgres.checkpoint().await?;
        let commands = (0..).zip(shares(orders, PROCESSES)).map(|(number, share)| {
            let mut command = self.command(&database);
            command.args(["run", &share.to_string(), &THREADS.to_string()]);
            command.arg(format!("order-{number}"));
            command
        });
        let servers = [bench.postgres.process()];
        let tasks = orders * ORDER_TASKS;
        let together = run_together("dbos", commands.collect(), tasks, &folder, &servers).await?;
        check(&database, orders).await?;
        database.remove().await?;
        Ok(together)
    }

    fn command(&self, database: &Database) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg(SCRIPT)
            .current_dir(&self.scripts)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BENCH_DATABASE", database.url.as_str());
        command
    }
}

/// The tables are the judge: each order has ended well, and each of its steps is recorded.
async fn check(database: &Database, orders: u32) -> Result<()> {
    let mut connection = database.connect().await?;
    let (ended, steps): (i64, i64) = sqlx::query_as(
        "SELECT
            (SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid LIKE 'order-%' AND status = 'SUCCESS'),
            (SELECT count(*) FROM dbos.operation_outputs WHERE workflow_uuid LIKE 'order-%' AND error IS NULL)",
    )
    .fetch_one(&mut connection)
    .await
    .context("cannot read the tables of DBOS")?;
    ensure!(
        ended == i64::from(orders) && steps == i64::from(orders * ORDER_TASKS),
        "of {orders} orders {ended} are in the tables of DBOS, and {steps} steps"
    );
    Ok(())
}
