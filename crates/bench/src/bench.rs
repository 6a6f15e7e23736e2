//! What every measure needs: the programs, the servers, the peers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::arguments::{Arguments, Measure, Sizes};
use crate::machine::{Facts, Usage};
use crate::results::System;
use crate::servers::{Postgres, Rabbitmq};
use crate::systems::bubblewrap::Bubblewrap;
use crate::systems::celery::Environment;
use crate::systems::dbos::Dbos;
use crate::systems::dotnet::Dotnet;
use crate::systems::interpreter::Interpreter;
use crate::systems::pgbench;
use crate::systems::restate::Restate;

/// Why a peer that this run does not measure was not installed.
const NOT_WANTED: &str = "this run does not measure it";

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) facts: Facts,
    pub(crate) sizes: Sizes,
    pub(crate) repeats: u32,
    pub(crate) programs: PathBuf,
    /// What stays from one run to the next.
    pub(crate) cache: PathBuf,
    pub(crate) postgres: Postgres,
    pub(crate) rabbitmq: Rabbitmq,
    pub(crate) celery: Environment,
    pub(crate) pgbench: PathBuf,
    pub(crate) interpreter: Interpreter,
    /// `Err` with the reason where it is left out, as are the next.
    pub(crate) bubblewrap: Result<Bubblewrap, String>,
    pub(crate) dotnet: Result<Dotnet, String>,
    pub(crate) restate: Result<Restate, String>,
    pub(crate) dbos: Result<Dbos, String>,
    folder: TempDir,
}

impl Bench {
    /// Finds what is there and installs the peer, so that nothing is missing in the middle of the measuring.
    pub(crate) async fn prepare(arguments: &Arguments) -> Result<Self> {
        let facts = Facts::gather();
        let cache = arguments.cache_folder()?;
        tokio::fs::create_dir_all(&cache)
            .await
            .with_context(|| format!("cannot create {}", cache.display()))?;
        let interpreter = Interpreter::find().await?;
        Ok(Self {
            facts,
            sizes: arguments.sizes(),
            repeats: arguments.repeats,
            programs: arguments.program_folder()?,
            postgres: Postgres::find(&arguments.database_url).await?,
            rabbitmq: Rabbitmq::find(&arguments.amqp_url, &arguments.rabbitmq_api).await?,
            celery: Environment::install(&cache).await?,
            pgbench: pgbench::locate()?,
            bubblewrap: Bubblewrap::find(&interpreter).await,
            interpreter,
            dotnet: Dotnet::find(arguments.csharp_runtime.as_deref()),
            restate: if arguments.wants(Measure::Sagas, System::Restate) {
                Restate::install(&cache).await
            } else {
                Err(NOT_WANTED.to_owned())
            },
            dbos: if arguments.wants(Measure::Sagas, System::Dbos) {
                Dbos::install(&cache).await
            } else {
                Err(NOT_WANTED.to_owned())
            },
            cache,
            folder: tempfile::tempdir().context("cannot create a folder for the logs")?,
        })
    }

    /// Why this cannot be measured here.
    pub(crate) fn lacks(&self, measure: Measure, system: System) -> Option<&str> {
        let reason = match (measure, system) {
            (Measure::Csharp, _) => self.dotnet.as_ref().err(),
            (_, System::Bubblewrap) => self.bubblewrap.as_ref().err(),
            (_, System::Restate) => self.restate.as_ref().err(),
            (_, System::Dbos) => self.dbos.as_ref().err(),
            _ => None,
        };
        reason.map(String::as_str)
    }

    /// A new empty folder, gone with the benchmark.
    pub(crate) fn new_folder(&self) -> Result<PathBuf> {
        let folder = tempfile::Builder::new()
            .disable_cleanup(true)
            .tempdir_in(self.folder.path())
            .context("cannot create a folder")?;
        Ok(folder.keep())
    }

    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.programs.join(name);
        anyhow::ensure!(
            Path::exists(&path),
            "there is no {}: build it with `cargo build --workspace --bins`",
            path.display()
        );
        Ok(path)
    }

    /// CPU time of the servers and of some processes, so far.
    pub(crate) fn usage_with(&self, processes: &[u32]) -> Result<Usage> {
        let servers = [self.postgres.process(), self.rabbitmq.process()];
        Usage::of(&[&servers, processes].concat())
    }

    pub(crate) async fn clean_up(&self) -> Result<()> {
        self.postgres.remove_databases().await?;
        self.rabbitmq.remove_hosts().await
    }
}
