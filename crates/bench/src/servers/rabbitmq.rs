//! RabbitMQ: a virtual host for each deployment, so that its queues go with it.

use std::cell::Cell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};
use url::Url;

use crate::load::Server;

#[derive(Debug)]
pub(crate) struct Rabbitmq {
    amqp: Url,
    api: Server,
    user: String,
    process: u32,
    version: String,
    hosts: Cell<u32>,
}

/// How long a server that has just started may take to know its own process id.
const START_LIMIT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Node {
    os_pid: Option<String>,
    running: bool,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Overview {
    rabbitmq_version: String,
}

impl Rabbitmq {
    pub(crate) async fn find(amqp: &Url, api: &Url) -> Result<Self> {
        let server = Server::new(
            address(api)?,
            &basic(api.username(), api.password().unwrap_or_default()),
        )?;
        let overview: Overview = get(&server, "/api/overview").await?;
        let process = timeout(START_LIMIT, process(&server))
            .await
            .context("no node of RabbitMQ tells its process id")??;
        Ok(Self {
            amqp: amqp.clone(),
            api: server,
            user: if amqp.username().is_empty() {
                "guest"
            } else {
                amqp.username()
            }
            .to_owned(),
            process,
            version: overview.rabbitmq_version,
            hosts: Cell::new(0),
        })
    }

    pub(crate) fn process(&self) -> u32 {
        self.process
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) async fn create_host(&self) -> Result<VirtualHost> {
        let number = self.hosts.replace(self.hosts.get() + 1);
        let name = format!("{}{number}", prefix());
        call(&self.api, Method::PUT, &format!("/api/vhosts/{name}"), "{}").await?;
        let everything = r#"{"configure": ".*", "write": ".*", "read": ".*"}"#;
        let permissions = format!("/api/permissions/{name}/{}", self.user);
        call(&self.api, Method::PUT, &permissions, everything).await?;
        let mut url = self.amqp.clone();
        url.set_path(&name);
        Ok(VirtualHost {
            name,
            url,
            api: self.api.clone(),
        })
    }

    /// Those of this run that are still there.
    pub(crate) async fn remove_hosts(&self) -> Result<()> {
        let hosts: Vec<Named> = get(&self.api, "/api/vhosts?columns=name").await?;
        for host in hosts.iter().filter(|host| host.name.starts_with(&prefix())) {
            call(&self.api, Method::DELETE, &format!("/api/vhosts/{}", host.name), "").await?;
        }
        Ok(())
    }
}

/// Of the first node that runs.
async fn process(server: &Server) -> Result<u32> {
    loop {
        let nodes: Vec<Node> = get(server, "/api/nodes").await?;
        let mut running = nodes.into_iter().filter(|node| node.running);
        if let Some(process) = running.find_map(|node| node.os_pid) {
            return process.parse().context("RabbitMQ's process id is no number");
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn prefix() -> String {
    format!("orchestratum-bench-{}-", std::process::id())
}

#[derive(Debug)]
pub(crate) struct VirtualHost {
    name: String,
    pub(crate) url: Url,
    api: Server,
}

impl VirtualHost {
    pub(crate) async fn remove(self) -> Result<()> {
        call(&self.api, Method::DELETE, &format!("/api/vhosts/{}", self.name), "").await
    }
}

async fn call(api: &Server, method: Method, path: &str, body: &'static str) -> Result<()> {
    let answer = api
        .lane()
        .await?
        .send(method, path, Bytes::from_static(body.as_bytes()))
        .await?;
    anyhow::ensure!(
        answer.status.is_success(),
        "RabbitMQ answers {} to {path}",
        answer.status
    );
    Ok(())
}

async fn get<T: DeserializeOwned>(api: &Server, path: &str) -> Result<T> {
    let answer = api.get(path).await.context("RABBITMQ_API does not answer")?;
    anyhow::ensure!(
        answer.status.is_success(),
        "RabbitMQ answers {} to {path}",
        answer.status
    );
    serde_json::from_slice(&answer.body).with_context(|| format!("cannot read RabbitMQ's answer to {path}"))
}

fn address(url: &Url) -> Result<SocketAddr> {
    let host = url.host_str().context("RABBITMQ_API has no host")?;
    let port = url.port_or_known_default().context("RABBITMQ_API has no port")?;
    let mut addresses = (host, port).to_socket_addrs().context("cannot resolve RABBITMQ_API")?;
    addresses.next().context("RABBITMQ_API has no address")
}

/// RFC 7617.
fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) & 63;
            text.push(if place <= chunk.len() {
                char::from(ALPHABET[index as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_encoded_as_the_standard_shows() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"abc"), "YWJj");
    }
}
