//! The addresses of the servers, as the environment gives them and as the tests read them.

use std::process::Command;

use anyhow::{Context, Result};

use crate::http;

/// All that a test needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(super) database: String,
    pub(super) amqp: String,
    /// The management interface: `http://user:password@host:port`.
    pub(super) rabbitmq_api: String,
}

impl Addresses {
    pub(crate) fn apply(&self, command: &mut Command) {
        command.envs(self.pairs());
    }

    pub(super) fn exports(&self) -> String {
        let assignments = self.pairs().map(|(name, value)| format!("{name}='{value}'"));
        format!("export {}", assignments.join(" "))
    }

    pub(super) fn pairs(&self) -> [(&'static str, &str); 3] {
        let Self {
            database,
            amqp,
            rabbitmq_api,
        } = self;
        [
            ("DATABASE_URL", database),
            ("AMQP_URL", amqp),
            ("RABBITMQ_API", rabbitmq_api),
        ]
    }

    pub(super) fn from_pairs(mut value_of: impl FnMut(&str) -> Option<String>) -> Option<Self> {
        Some(Self {
            database: value_of("DATABASE_URL")?,
            amqp: value_of("AMQP_URL")?,
            rabbitmq_api: value_of("RABBITMQ_API")?,
        })
    }
}

/// What the environment gave: those servers are used, not started.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) database: Option<String>,
    pub(super) amqp: Option<String>,
    pub(super) rabbitmq_api: Option<String>,
}

impl Given {
    pub(super) fn from_environment() -> Result<Self> {
        let database = variable("DATABASE_URL");
        let amqp = variable("AMQP_URL");
        // The management interface of a server that is not used would only mislead.
        let rabbitmq_api = match &amqp {
            Some(amqp) => Some(variable("RABBITMQ_API").map_or_else(|| management_beside(amqp), Ok)?),
            None => None,
        };
        check_that_it_answers("DATABASE_URL", database.as_deref(), "5432")?;
        check_that_it_answers("AMQP_URL", amqp.as_deref(), "5672")?;
        check_that_it_answers("RABBITMQ_API", rabbitmq_api.as_deref(), "15672")
            .context("the management interface of the RabbitMQ of AMQP_URL is needed")?;
        Ok(Self {
            database,
            amqp,
            rabbitmq_api,
        })
    }

    pub(super) fn all(&self) -> Option<Addresses> {
        Some(Addresses {
            database: self.database.clone()?,
            amqp: self.amqp.clone()?,
            rabbitmq_api: self.rabbitmq_api.clone()?,
        })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn check_that_it_answers(name: &str, url: Option<&str>, default_port: &str) -> Result<()> {
    let Some(url) = url else { return Ok(()) };
    let authority = authority(url, default_port).with_context(|| format!("{name} is not a URL with a host"))?;
    http::connect(&authority).with_context(|| format!("the server of {name} is not there"))?;
    Ok(())
}

/// RabbitMQ's own default: the same host and login, port 15672.
fn management_beside(amqp: &str) -> Result<String> {
    let (login, host) = login_and_host(amqp).context("AMQP_URL is not a URL with a host")?;
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    Ok(format!("http://{}@{name}:15672", login.unwrap_or("guest:guest")))
}

/// `host:port` of a URL.
pub(super) fn authority(url: &str, default_port: &str) -> Option<String> {
    let (_login, host) = login_and_host(url)?;
    Some(if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{default_port}")
    })
}

fn login_and_host(url: &str) -> Option<(Option<&str>, &str)> {
    let (_scheme, rest) = url.split_once("://")?;
    let rest = rest.split(['/', '?']).next()?;
    let (login, host) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(login, host)| (Some(login), host));
    (!host.is_empty()).then_some((login, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_management_interface_is_looked_for_beside_the_broker() {
        let api = management_beside("amqp://me:secret@broker.internal:5673/%2f").expect("a host is there");
        assert_eq!(api, "http://me:secret@broker.internal:15672");
        assert_eq!(
            management_beside("amqp://localhost").expect("a host is there"),
            "http://guest:guest@localhost:15672"
        );
    }

    #[test]
    fn an_address_without_a_port_gets_the_default_one() {
        assert_eq!(
            authority("postgres://a:b@database/app?x=1", "5432").as_deref(),
            Some("database:5432")
        );
        assert_eq!(
            authority("postgres://database:1/app", "5432").as_deref(),
            Some("database:1")
        );
        assert_eq!(authority("not a url", "5432"), None);
    }
}
