//! An installation: an api, workers, and what is between them and the servers.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use orchestratum_store::Options;
use tempfile::TempDir;

use crate::process::{Process, Start, binary};
use crate::proxy::FaultProxy;
use crate::servers::Servers;
use crate::{Api, Corner, Schema, VirtualHost, eventually};

/// Where the tasks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Postgres,
    /// A file; the worker runs inside the api.
    Sqlite,
}

/// What wakes the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    Rabbit,
    None,
}

#[derive(Debug)]
pub struct Builder {
    database: Database,
    broker: Broker,
    workers: usize,
    proxied: bool,
    in_a_virtual_host: bool,
    start: Start,
    settings: BTreeMap<String, String>,
}

/// A running installation; everything of it is gone when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    pub api: Api,
    pub api_process: Process,
    pub workers: Vec<Process>,
    /// Between all processes and PostgreSQL, if asked for.
    pub database_proxy: Option<FaultProxy>,
    /// Between all processes and RabbitMQ, if asked for.
    pub broker_proxy: Option<FaultProxy>,
    environment: BTreeMap<String, String>,
    start: Start,
    folder: TempDir,
    started_workers: usize,
    /// These are dropped after the processes that use them.
    _schema: Option<Schema>,
    broker_data: Option<BrokerData>,
}

/// What the broker keeps for a cluster.
#[derive(Debug)]
enum BrokerData {
    /// Under a prefix, beside others.
    Corner(Corner),
    VirtualHost(VirtualHost),
}

impl BrokerData {
    /// With the URL of the broker.
    async fn unique(in_a_virtual_host: bool) -> anyhow::Result<(Self, String)> {
        let servers = Servers::from_environment();
        if in_a_virtual_host {
            let host = VirtualHost::unique(&servers).await?;
            let url = host.servers().amqp_url.clone();
            Ok((Self::VirtualHost(host), url))
        } else {
            Ok((Self::Corner(Corner::unique(&servers).await?), servers.amqp_url))
        }
    }

    fn prefix(&self) -> &str {
        match self {
            Self::Corner(corner) => corner.prefix(),
            Self::VirtualHost(_) => "orchestratum",
        }
    }
}

/// Any text of 16 characters or more is a bootstrap key.
const KEY: &str = "the key of the tests";

impl Cluster {
    /// PostgreSQL and RabbitMQ, one worker, a lease of 3 s.
    pub fn builder() -> Builder {
        Builder {
            database: Database::Postgres,
            broker: Broker::Rabbit,
            workers: 1,
            proxied: false,
            in_a_virtual_host: false,
            start: Process::start,
            settings: BTreeMap::new(),
        }
    }

    /// Starts another worker.
    pub fn start_worker(&mut self) -> anyhow::Result<&mut Process> {
        self.started_workers += 1;
        let log = self.folder.path().join(format!("worker-{}.log", self.started_workers));
        let worker = (self.start)(&binary("orchestratum-worker")?, &[], &self.environment, log)?;
        self.workers.push(worker);
        self.workers.last_mut().context("it was just pushed")
    }

    /// Kills the api and starts it again on the same address.
    pub async fn restart_api(&mut self) -> anyhow::Result<()> {
        self.api_process.kill()?;
        self.api_process = start_api(self.start, &self.environment, self.folder.path(), "api-again.log")?;
        self.api.ready().await;
        Ok(())
    }

    /// The virtual host of its own, if asked for.
    pub fn virtual_host(&self) -> Option<&VirtualHost> {
        match &self.broker_data {
            Some(BrokerData::VirtualHost(host)) => Some(host),
            Some(BrokerData::Corner(_)) | None => None,
        }
    }

    /// Asks the api to stop, and starts it again on the same address; returns how it ended.
    pub async fn replace_api(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let status = self.api_process.stop(patience).await?;
        self.api_process = start_api(self.start, &self.environment, self.folder.path(), "api-again.log")?;
        self.api.ready().await;
        Ok(status)
    }

    /// Waits until the database lists so many live workers.
    pub async fn until_live_workers(&self, count: usize) {
        eventually(&format!("{count} live worker(s)"), || async {
            let workers = self.api.json("/api/workers").await.map_err(|error| error.to_string())?;
            let live = workers["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|worker| worker["state"] == "Live");
            if live.count() == count {
                Ok(())
            } else {
                Err(workers.to_string())
            }
        })
        .await;
    }

    /// The settings of the processes, as environment variables.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Every broken rule of the data, as `orchestratum doctor` sees it.
    pub async fn broken_invariants(&self) -> anyhow::Result<Vec<String>> {
        let setting = |name: &str| self.environment.get(name).cloned().unwrap_or_default();
        let options = Options {
            schema: setting("ORCHESTRATUM__DATABASE__SCHEMA"),
            ..Options::default()
        };
        let store = orchestratum_store::connect(&setting("ORCHESTRATUM__DATABASE__URL"), &options).await?;
        let now = store.database_time().await?;
        let broken = store.broken_invariants(now, 100).await?;
        store.close().await;
        Ok(broken
            .into_iter()
            .map(|broken| format!("{}: {}", broken.rule, broken.row))
            .collect())
    }
}

impl Builder {
    #[must_use]
    pub fn database(self, database: Database) -> Self {
        Self { database, ..self }
    }

    #[must_use]
    pub fn broker(self, broker: Broker) -> Self {
        Self { broker, ..self }
    }

    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Puts a [`FaultProxy`] in front of each server.
    #[must_use]
    pub fn proxied(self) -> Self {
        Self { proxied: true, ..self }
    }

    /// The whole of a broker's data is this cluster's, and can be lost.
    #[must_use]
    pub fn in_a_virtual_host(self) -> Self {
        Self {
            in_a_virtual_host: true,
            ..self
        }
    }

    /// See [`Process::start_as_ordinary_user`].
    #[must_use]
    pub fn as_ordinary_user(self) -> Self {
        Self {
            start: Process::start_as_ordinary_user,
            ..self
        }
    }

    /// Sets `ORCHESTRATUM__<key>`.
    #[must_use]
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(format!("ORCHESTRATUM__{key}"), value.to_owned());
        self
    }

    pub async fn start(self) -> anyhow::Result<Cluster> {
        let folder = tempfile::tempdir()?;
        let mut database_proxy = None;
        let mut broker_proxy = None;
        let mut schema = None;
        let mut broker_data = None;
        let database_url = match self.database {
            Database::Sqlite => format!("sqlite://{}", folder.path().join("orchestratum.db").display()),
            Database::Postgres => {
                let url = Servers::from_environment().database_url;
                schema = Some(Schema::unique(&url).await?);
                proxied(&url, self.proxied, &mut database_proxy).await?
            }
        };
        let broker_url = match self.broker {
            Broker::None => "database".to_owned(),
            Broker::Rabbit => {
                let (data, url) = BrokerData::unique(self.in_a_virtual_host).await?;
                broker_data = Some(data);
                proxied(&url, self.proxied, &mut broker_proxy).await?
            }
        };
        let port = free_port()?;
        // SQLite has no schemas: the name is for nobody then, as is the prefix without RabbitMQ.
        let name = schema.as_ref().map_or("orchestratum", Schema::name).to_owned();
        let prefix = broker_data
            .as_ref()
            .map_or("orchestratum", BrokerData::prefix)
            .to_owned();
        let embedded = if self.database == Database::Sqlite {
            "true"
        } else {
            "false"
        };
        let mut environment = environment(&[
            ("DATABASE__URL", database_url.as_str()),
            ("DATABASE__SCHEMA", &name),
            ("BROKER__URL", &broker_url),
            ("BROKER__PREFIX", &prefix),
            ("API__LISTEN", &format!("127.0.0.1:{port}")),
            ("WORKER__EMBEDDED", embedded),
        ]);
        environment.insert(
            "ORCHESTRATUM_CONFIG_DIR".to_owned(),
            folder.path().display().to_string(),
        );
        environment.extend(self.settings);

        let api = Api::new(format!("http://127.0.0.1:{port}"), KEY.to_owned())?;
        let api_process = start_api(self.start, &environment, folder.path(), "api.log")?;
        let mut cluster = Cluster {
            api,
            api_process,
            workers: Vec::new(),
            database_proxy,
            broker_proxy,
            environment,
            start: self.start,
            folder,
            started_workers: 0,
            _schema: schema,
            broker_data,
        };
        cluster.api.ready().await;
        if self.database == Database::Postgres {
            for _ in 0..self.workers {
                cluster.start_worker()?;
            }
            cluster.until_live_workers(self.workers).await;
        }
        Ok(cluster)
    }
}

/// What is the same for every cluster, and these settings.
fn environment(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    let same = [
        ("AUTH__BOOTSTRAP_KEY", KEY),
        ("WORKER__LEASE_SECONDS", "3"),
        ("WORKER__LISTEN", ""),
        // Those tests that want one bring one along, and this machine may have another.
        ("WORKER__CSHARP", "/no/such/folder"),
        ("LOGS__DIR", ""),
    ];
    same.iter()
        .chain(settings)
        .map(|(key, value)| (format!("ORCHESTRATUM__{key}"), (*value).to_owned()))
        .collect()
}

fn start_api(
    start: Start,
    environment: &BTreeMap<String, String>,
    folder: &Path,
    log: &str,
) -> anyhow::Result<Process> {
    start(&binary("orchestratum-api")?, &[], environment, folder.join(log))
}

async fn proxied(url: &str, wanted: bool, proxy: &mut Option<FaultProxy>) -> anyhow::Result<String> {
    if !wanted {
        return Ok(url.to_owned());
    }
    let (started, url) = FaultProxy::before(url).await?;
    *proxy = Some(started);
    Ok(url)
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
