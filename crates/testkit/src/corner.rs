//! A corner of a RabbitMQ that may be somebody's: queues and exchanges under a prefix of a test's own.

use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::name;
use crate::servers::Servers;

const DEADLINE: Duration = Duration::from_secs(20);

/// Those of a test process that was killed are swept after this.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(3_600);

const KINDS: [&str; 2] = ["queues", "exchanges"];

/// A prefix that nobody else has; whatever was declared under it is gone when this is dropped.
#[derive(Debug)]
pub struct Corner {
    servers: Servers,
    prefix: String,
}

impl Corner {
    pub async fn unique(servers: &Servers) -> anyhow::Result<Self> {
        static SWEPT: OnceCell<()> = OnceCell::const_new();
        SWEPT
            .get_or_try_init(|| async { timeout(DEADLINE, sweep_corners(servers)).await? })
            .await?;
        Ok(Self {
            servers: servers.clone(),
            prefix: name::unique(),
        })
    }

    /// For `broker.prefix`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        let (servers, prefix) = (self.servers.clone(), self.prefix.clone());
        // A runtime cannot wait inside of another one, and a test that fails is dropped in the middle of its own.
        let deleting = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let is_ours = |name: &str| belongs_to(name, &prefix);
            runtime.block_on(async { timeout(DEADLINE, delete(&servers, is_ours)).await? })
        });
        match deleting.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("the queues of {} could not be deleted: {error:#}", self.prefix),
            Err(_panic) => eprintln!("the queues of {} could not be deleted", self.prefix),
        }
    }
}

fn belongs_to(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
}

/// Deletes what test processes left that were killed.
pub async fn sweep_corners(servers: &Servers) -> anyhow::Result<()> {
    let is_left_over = |name: &str| {
        let prefix = name.split('.').next().unwrap_or_default();
        name::age(prefix).is_some_and(|age| age > LEFT_OVER_AFTER)
    };
    delete(servers, is_left_over).await
}

/// The queues and exchanges under a prefix.
pub async fn declared_under(servers: &Servers, prefix: &str) -> anyhow::Result<Vec<String>> {
    let client = client()?;
    let mut all = Vec::new();
    for kind in KINDS {
        all.extend(names(&client, servers, kind).await?);
    }
    all.retain(|name| belongs_to(name, prefix));
    Ok(all)
}

async fn delete(servers: &Servers, is_meant: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let client = client()?;
    for kind in KINDS {
        for name in names(&client, servers, kind).await? {
            if is_meant(&name) {
                let answer = client
                    .delete(format!("{}/{name}", servers.management_url(kind)))
                    .send()
                    .await?;
                let status = answer.status();
                // Another process may be sweeping the same ones.
                let gone = status.is_success() || status == StatusCode::NOT_FOUND;
                ensure!(gone, "{status} for {name}");
            }
        }
    }
    Ok(())
}

async fn names(client: &Client, servers: &Servers, kind: &str) -> anyhow::Result<Vec<String>> {
    let answer = client
        .get(format!("{}?columns=name", servers.management_url(kind)))
        .send()
        .await?;
    let all: Vec<Value> = answer
        .error_for_status()
        .context("RabbitMQ's management interface does not answer")?
        .json()
        .await?;
    Ok(all
        .iter()
        .filter_map(|one| one["name"].as_str().map(str::to_owned))
        .collect())
}

fn client() -> anyhow::Result<Client> {
    // Another test of the same process may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Client::builder().timeout(DEADLINE).build()?)
}
