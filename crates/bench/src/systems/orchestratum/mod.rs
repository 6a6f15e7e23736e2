//! Orchestratum itself: the real programs, as processes, against a database and a virtual host of their own.

mod records;
mod sagas;
mod work;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::StatusCode;
use url::Url;

pub(crate) use self::records::{Records, Timed};
pub(crate) use self::sagas::{ORDER_TASKS, Story};
pub(crate) use self::work::{CHAIN_LINKS, OUTSIDE_NAME, Work, batch};
use super::wait_for;
use crate::bench::Bench;
use crate::load::Server;
use crate::machine::{Program, free_port};
use crate::results::System;
use crate::servers::{Database, VirtualHost};

/// Accepted as a key with all rights; the servers listen on loopback only, for as long as the run takes.
const KEY: &str = "the-key-of-the-benchmark";
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// Nobody sends tasks there: how a process that is also a worker stays idle.
const NO_TARGET: &str = "none";

/// One installation: an api, a worker, and what they store in.
#[derive(Debug)]
pub(crate) struct Deployment {
    storage: Storage,
    folder: PathBuf,
    programs: Programs,
    settings: Vec<Setting>,
    address: SocketAddr,
    api: Option<Program>,
    worker: Option<Program>,
}

/// A name, such as `WORKER__CONCURRENCY`, and the value that a measure needs in place of the default.
pub(crate) type Setting = (&'static str, OsString);

#[derive(Debug)]
enum Storage {
    Postgres {
        database: Box<Database>,
        host: Option<Box<VirtualHost>>,
    },
    Sqlite {
        file: PathBuf,
    },
}

#[derive(Debug)]
struct Programs {
    api: PathBuf,
    worker: PathBuf,
}

impl Deployment {
    /// With the api running and no worker.
    pub(crate) async fn start(bench: &Bench, system: System) -> Result<Self> {
        Self::start_with(bench, system, Vec::new()).await
    }

    pub(crate) async fn start_with(bench: &Bench, system: System, settings: Vec<Setting>) -> Result<Self> {
        let folder = bench.new_folder()?;
        let storage = match system {
            System::PostgresRabbitmq => Storage::Postgres {
                database: Box::new(bench.postgres.create_database().await?),
                host: Some(Box::new(bench.rabbitmq.create_host().await?)),
            },
            System::Sqlite => Storage::Sqlite {
                file: folder.join("orchestratum.db"),
            },
            _ => Storage::Postgres {
                database: Box::new(bench.postgres.create_database().await?),
                host: None,
            },
        };
        let programs = Programs {
            api: bench.program("orchestratum-api")?,
            worker: bench.program("orchestratum-worker")?,
        };
        let mut deployment = Self {
            storage,
            folder,
            programs,
            settings,
            address: free_port()?,
            api: None,
            worker: None,
        };
        deployment.start_api(NO_TARGET).await?;
        Ok(deployment)
    }

    async fn start_api(&mut self, targets: &str) -> Result<()> {
        let mut command = self.command(&self.programs.api);
        command.env("ORCHESTRATUM__API__LISTEN", self.address.to_string());
        // With SQLite this process is the worker, too.
        command.env("ORCHESTRATUM__WORKER__TARGETS", targets);
        if matches!(self.storage, Storage::Sqlite { .. }) {
            command.env("ORCHESTRATUM__WORKER__EMBEDDED", "true");
        }
        let mut api = Program::start("api", command, &self.folder)?;
        let server = self.server()?;
        wait_for(
            "the api to be ready",
            START_LIMIT,
            Duration::from_millis(20),
            async || {
                api.check()?;
                let answer = server.get("/health/ready").await;
                Ok(answer.is_ok_and(|answer| answer.status == StatusCode::OK))
            },
        )
        .await
        .with_context(|| api.last_words())?;
        self.api = Some(api);
        Ok(())
    }

    /// After [`end`](Self::end): the api, with the address and the database that it had.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        self.start_api(NO_TARGET).await
    }

    /// Returns as soon as the process runs: what it needs to start is a part of what is measured.
    pub(crate) async fn start_worker(&mut self) -> Result<()> {
        if matches!(self.storage, Storage::Sqlite { .. }) {
            self.stop_api().await?;
            return self.start_api("default").await;
        }
        self.worker = Some(Program::start(
            "worker",
            self.command(&self.programs.worker),
            &self.folder,
        )?);
        Ok(())
    }

    pub(crate) async fn stop_worker(&mut self) -> Result<()> {
        if let Some(worker) = self.worker.take() {
            return worker.stop(STOP_LIMIT).await;
        }
        self.stop_api().await?;
        self.start_api(NO_TARGET).await
    }

    async fn stop_api(&mut self) -> Result<()> {
        match self.api.take() {
            Some(api) => api.stop(STOP_LIMIT).await,
            None => Ok(()),
        }
    }

    /// An error where a process has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        let programs = [&mut self.api, &mut self.worker];
        programs.into_iter().flatten().try_for_each(Program::check)
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        let programs = [&self.api, &self.worker];
        programs.into_iter().flatten().map(Program::process_id).collect()
    }

    pub(crate) fn api_process(&self) -> Option<u32> {
        self.api.as_ref().map(Program::process_id)
    }

    pub(crate) fn worker_process(&self) -> Option<u32> {
        self.worker.as_ref().map(Program::process_id)
    }

    pub(crate) fn server(&self) -> Result<Server> {
        Server::new(self.address, &format!("ApiKey {KEY}"))
    }

    pub(crate) async fn records(&self) -> Result<Records> {
        match &self.storage {
            Storage::Postgres { database, .. } => Records::of_postgres(database).await,
            Storage::Sqlite { file } => Records::of_sqlite(file).await,
        }
    }

    pub(crate) fn database(&self) -> Result<&Database> {
        match &self.storage {
            Storage::Postgres { database, .. } => Ok(database),
            Storage::Sqlite { .. } => anyhow::bail!("this deployment has no PostgreSQL"),
        }
    }

    /// Ends what runs and removes what it stored.
    pub(crate) async fn remove(mut self) -> Result<()> {
        self.check()?;
        self.end();
        match self.storage {
            Storage::Postgres { database, host } => {
                database.remove().await?;
                if let Some(host) = host {
                    host.remove().await?;
                }
            }
            Storage::Sqlite { .. } => {}
        }
        Ok(())
    }

    /// Ends the api but keeps the database.
    pub(crate) fn end(&mut self) {
        self.worker = None;
        self.api = None;
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let (database, broker) = match &self.storage {
            Storage::Postgres { database, host } => (
                database.url.to_string(),
                host.as_ref().map_or("database", |host| Url::as_str(&host.url)),
            ),
            Storage::Sqlite { file } => (format!("sqlite://{}", file.display()), "database"),
        };
        command
            // Nothing from the surroundings, neither a `config` folder nor a variable.
            .current_dir(&self.folder)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("ORCHESTRATUM__DATABASE__URL", database)
            .env("ORCHESTRATUM__BROKER__URL", broker)
            .env("ORCHESTRATUM__AUTH__BOOTSTRAP_KEY", KEY)
            .env("ORCHESTRATUM__LOGS__LEVEL", "warn")
            .env("ORCHESTRATUM__LOGS__DIR", "")
            .env("ORCHESTRATUM__WORKER__LISTEN", "");
        for (name, value) in &self.settings {
            command.env(format!("ORCHESTRATUM__{name}"), value);
        }
        command
    }
}
