//! A virtual host of a test's own: the whole of a broker's data, which can be lost without harm to anybody else.

use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::name;
use crate::servers::{Servers, login, with_virtual_host};

const DEADLINE: Duration = Duration::from_secs(20);

/// Those of a test process that was killed are swept after this.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(3_600);

/// It is gone when this is dropped. Making one takes the rights of an administrator.
#[derive(Debug)]
pub struct VirtualHost {
    servers: Servers,
    name: String,
}

impl VirtualHost {
    pub async fn unique(servers: &Servers) -> anyhow::Result<Self> {
        sweep(servers).await?;
        let name = name::unique();
        let host = Self {
            servers: Servers {
                amqp_url: with_virtual_host(&servers.amqp_url, &name),
                ..servers.clone()
            },
            name,
        };
        host.create().await?;
        Ok(host)
    }

    /// The servers, with this as the broker.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Empty, and open to the login of the URL.
    pub async fn create(&self) -> anyhow::Result<()> {
        let (host, user) = (&self.name, login(&self.servers.amqp_url)?);
        call(&self.servers, Method::PUT, &format!("vhosts/{host}"), None).await?;
        let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
        let path = format!("permissions/{host}/{user}");
        call(&self.servers, Method::PUT, &path, Some(&everything)).await?;
        Ok(())
    }

    /// Whether there is an exchange of that name in it.
    pub async fn has_exchange(&self, exchange: &str) -> anyhow::Result<bool> {
        let all = call(
            &self.servers,
            Method::GET,
            &format!("exchanges/{}?columns=name", self.name),
            None,
        )
        .await?;
        Ok(all.as_array().into_iter().flatten().any(|one| one["name"] == exchange))
    }

    /// As a restart does with one that is not durable.
    pub async fn delete_exchange(&self, exchange: &str) -> anyhow::Result<()> {
        let path = format!("exchanges/{}/{exchange}", self.name);
        call(&self.servers, Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// The names of the queues in it.
    pub async fn queues(&self) -> anyhow::Result<Vec<String>> {
        let all = call(
            &self.servers,
            Method::GET,
            &format!("queues/{}?columns=name", self.name),
            None,
        )
        .await?;
        let names = all.as_array().into_iter().flatten();
        Ok(names
            .filter_map(|one| one["name"].as_str().map(str::to_owned))
            .collect())
    }

    /// As a broker does that was killed and started again.
    pub async fn forget_what_is_not_durable(&self) -> anyhow::Result<()> {
        for kind in ["exchanges", "queues"] {
            let path = format!("{kind}/{}?columns=name,durable,exclusive", self.name);
            let all = call(&self.servers, Method::GET, &path, None).await?;
            for one in all.as_array().into_iter().flatten() {
                // What is exclusive goes with its connection.
                if one["durable"] == false && one["exclusive"] != true {
                    let name = one["name"].as_str().context("a name")?;
                    let path = format!("{kind}/{}/{name}", self.name);
                    call(&self.servers, Method::DELETE, &path, None).await?;
                }
            }
        }
        Ok(())
    }

    /// Everything in it is lost, and every connection to it ends.
    pub async fn delete(&self) -> anyhow::Result<()> {
        delete(&self.servers, &self.name).await
    }
}

impl Drop for VirtualHost {
    fn drop(&mut self) {
        let (servers, name) = (self.servers.clone(), self.name.clone());
        // A runtime cannot wait inside of another one, and a test that fails is dropped in the middle of its own.
        let deleting = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { timeout(DEADLINE, delete(&servers, &name)).await? })
        });
        match deleting.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("the virtual host {} could not be deleted: {error:#}", self.name),
            Err(_panic) => eprintln!("the virtual host {} could not be deleted", self.name),
        }
    }
}

/// Deletes what test processes left that were killed.
async fn sweep(servers: &Servers) -> anyhow::Result<()> {
    let all = call(servers, Method::GET, "vhosts?columns=name", None).await?;
    for host in all.as_array().into_iter().flatten() {
        let name = host["name"].as_str().unwrap_or_default();
        if name::age(name).is_some_and(|age| age > LEFT_OVER_AFTER) {
            delete(servers, name).await?;
        }
    }
    Ok(())
}

async fn delete(servers: &Servers, name: &str) -> anyhow::Result<()> {
    call(servers, Method::DELETE, &format!("vhosts/{name}"), None).await?;
    Ok(())
}

/// What is to be deleted may be gone already.
async fn call(servers: &Servers, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    // Another test of the same process may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(DEADLINE).build()?;
    let url = format!("{}/api/{path}", servers.rabbitmq_api.trim_end_matches('/'));
    let gone_is_fine = method == Method::DELETE;
    let request = client.request(method, url).header("content-type", "application/json");
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    let answer = request
        .send()
        .await
        .context("RabbitMQ's management interface does not answer")?;
    let status = answer.status();
    ensure!(
        status.is_success() || (gone_is_fine && status == StatusCode::NOT_FOUND),
        "RabbitMQ's management interface answers {status} for {path}"
    );
    Ok(answer.json().await.unwrap_or_default())
}
