//! Installs what is missing where that is allowed; otherwise says exactly what to install.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::address::Given;
use super::locate;
use crate::packages::Installer;

/// Something the tests need and this machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    PostgreSql,
    RabbitMq,
    Python,
}

impl Need {
    fn package(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::RabbitMq => "rabbitmq-server",
            Self::Python => "python3",
        }
    }

    fn is_met(self) -> bool {
        match self {
            Self::PostgreSql => locate::postgres().is_some(),
            Self::RabbitMq => locate::rabbitmq().is_some(),
            Self::Python => locate::python_runs(),
        }
    }

    fn how_to_meet_it(self) -> &'static str {
        match self {
            Self::PostgreSql => {
                "PostgreSQL: install the package `postgresql` (14 or newer), or set \
                 DATABASE_URL=postgres://USER:PASSWORD@HOST:PORT/DATABASE to one whose user may create databases"
            }
            Self::RabbitMq => {
                "RabbitMQ: install the package `rabbitmq-server` (3.10 or newer), or set \
                 AMQP_URL=amqp://USER:PASSWORD@HOST:PORT/%2f (and RABBITMQ_API=http://USER:PASSWORD@HOST:PORT, \
                 unless its management interface is on port 15672 of the same host)"
            }
            Self::Python => "Python: install the package `python3` (3.9 or newer); the tests run tasks written in it",
        }
    }
}

pub(super) fn ensure(given: &Given) -> Result<()> {
    let mut needs = vec![Need::Python];
    if given.database.is_none() {
        needs.push(Need::PostgreSql);
    }
    if given.amqp.is_none() {
        needs.push(Need::RabbitMq);
    }
    needs.retain(|need| !need.is_met());
    if needs.is_empty() {
        return Ok(());
    }
    let installer = Installer::of_this_machine()?;
    if let Installer::Forbidden { why } = installer {
        bail!(refusal(why, &needs));
    }
    let packages: Vec<&str> = needs.iter().map(|need| need.package()).collect();
    installer.install(&packages)?;
    needs.retain(|need| !need.is_met());
    if !needs.is_empty() {
        bail!(refusal(
            "the packages were installed, but what they should bring was not found",
            &needs
        ));
    }
    Ok(())
}

fn refusal(why: &str, needs: &[Need]) -> String {
    let mut message = format!("this machine lacks what the tests need, and nothing may be installed: {why}.");
    for need in needs {
        // Writing to a string cannot fail.
        let _ = write!(message, "\n  - {}", need.how_to_meet_it());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_every_missing_package_and_the_variable_that_replaces_it() {
        let text = refusal("there is no apt-get", &[Need::PostgreSql, Need::RabbitMq, Need::Python]);
        for word in [
            "no apt-get",
            "postgresql",
            "DATABASE_URL",
            "rabbitmq-server",
            "AMQP_URL",
            "python3",
        ] {
            assert!(text.contains(word), "{word} is missing in: {text}");
        }
    }
}
