//! The servers the tests run against: `cargo xtask test` provides them.

use anyhow::{Context, anyhow};

/// Where PostgreSQL and RabbitMQ are.
#[derive(Debug, Clone)]
pub struct Servers {
    pub database_url: String,
    pub amqp_url: String,
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
        }
    }
}

/// The host and port of a URL such as `postgres://user:password@host:port/name`.
pub(crate) fn authority(url: &str) -> anyhow::Result<String> {
    let (_, rest) = url.split_once("://").ok_or_else(|| anyhow!("no URL"))?;
    let authority = rest.split(['/', '?']).next().context("no authority")?;
    let address = authority.rsplit('@').next().context("no host")?;
    Ok(address.to_owned())
}

/// The URL with another host and port.
pub(crate) fn with_authority(url: &str, address: &str) -> anyhow::Result<String> {
    Ok(url.replacen(&authority(url)?, address, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

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
