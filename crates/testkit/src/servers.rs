//! The servers the tests run against: `cargo xtask test` provides them.

use anyhow::{Context, anyhow};

/// Where PostgreSQL and RabbitMQ are.
#[derive(Debug, Clone)]
pub struct Servers {
    pub database_url: String,
    pub amqp_url: String,
    /// RabbitMQ's management interface, with its login.
    pub rabbitmq_api: String,
}

impl Servers {
    /// # Panics
    /// When the environment does not say: a test that needs a server is never skipped.
    pub fn from_environment() -> Self {
        let read = |name: &str| {
            std::env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: run the tests by `cargo xtask test`, which sets it"))
        };
        Self {
            database_url: read("DATABASE_URL"),
            amqp_url: read("AMQP_URL"),
            rabbitmq_api: read("RABBITMQ_API"),
        }
    }

    /// Where RabbitMQ's management interface has the `queues` or the `exchanges` that the AMQP URL leads to.
    pub fn management_url(&self, kind: &str) -> String {
        let api = self.rabbitmq_api.trim_end_matches('/');
        format!("{api}/api/{kind}/{}", virtual_host(&self.amqp_url))
    }
}

/// The host and port of a URL such as `postgres://user:password@host:port/name`.
pub(crate) fn authority(url: &str) -> anyhow::Result<String> {
    let (_, rest) = url.split_once("://").ok_or_else(|| anyhow!("no URL"))?;
    let authority = rest.split(['/', '?']).next().context("no authority")?;
    let address = authority.rsplit('@').next().context("no host")?;
    Ok(address.to_owned())
}

/// The virtual host of an AMQP URL, encoded as in it.
fn virtual_host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address = rest.split('?').next().unwrap_or_default();
    let path = address.split_once('/').map_or("", |(_, path)| path);
    if path.is_empty() { "%2f" } else { path }
}

/// The user of an AMQP URL.
pub(crate) fn login(url: &str) -> anyhow::Result<&str> {
    let (_, rest) = url.split_once("://").ok_or_else(|| anyhow!("no URL"))?;
    let (login, _) = rest.split_once('@').context("no login")?;
    Ok(login.split(':').next().unwrap_or(login))
}

/// The AMQP URL with another virtual host.
pub(crate) fn with_virtual_host(url: &str, name: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("amqp", url));
    let (address, query) = rest
        .split_once('?')
        .map_or((rest, None), |(address, query)| (address, Some(query)));
    let authority = address.split('/').next().unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{authority}/{name}{query}")
}

/// The URL with another host and port.
pub(crate) fn with_authority(url: &str, address: &str) -> anyhow::Result<String> {
    Ok(url.replacen(&authority(url)?, address, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_virtual_host_is_the_default_one_unless_another_is_named() {
        for (url, expected) in [
            ("amqp://guest:guest@127.0.0.1:5672/%2f", "%2f"),
            ("amqp://guest:guest@127.0.0.1:5672/mine?heartbeat=5", "mine"),
            ("amqp://127.0.0.1/", "%2f"),
            ("amqp://127.0.0.1", "%2f"),
        ] {
            assert_eq!(virtual_host(url), expected, "{url}");
        }
    }

    #[test]
    fn the_virtual_host_of_a_url_can_be_replaced() {
        for (url, expected) in [
            (
                "amqp://guest:guest@127.0.0.1:5672/%2f",
                "amqp://guest:guest@127.0.0.1:5672/mine",
            ),
            (
                "amqp://guest@127.0.0.1?heartbeat=5",
                "amqp://guest@127.0.0.1/mine?heartbeat=5",
            ),
        ] {
            assert_eq!(with_virtual_host(url, "mine"), expected);
            assert_eq!(login(url).expect("a login"), "guest");
        }
    }

    #[test]
    fn the_address_of_a_url_can_be_replaced() {
        let url = "amqp://guest:guest@127.0.0.1:5672/%2f";
        assert_eq!(authority(url).expect("a host"), "127.0.0.1:5672");
        assert_eq!(
            with_authority(url, "127.0.0.1:1").expect("a host"),
            "amqp://guest:guest@127.0.0.1:1/%2f"
        );
    }
}
