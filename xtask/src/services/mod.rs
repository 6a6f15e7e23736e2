//! PostgreSQL and RabbitMQ for tests, beside whatever already runs on the machine.
//!
//! ```text
//! DATABASE_URL, AMQP_URL given ──► used as they are, checked to answer
//! not given ──► installed where missing and allowed ──► private instances on free ports, data in a folder of their own
//!                                                            │
//!                       guard: a process that outlives us, ◄─┘ and ends what we started, however we ended
//! ```
//! Start with [`provide`].

mod account;
mod address;
mod install;
mod locate;
mod ports;
mod postgres;
mod rabbitmq;
mod record;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(crate) use self::address::Addresses;
use self::address::Given;
use self::ports::Ports;
use self::record::Record;
use crate::guard::{self, Guard};

/// Servers that live until this is dropped, or until this process ends in any way.
#[derive(Debug)]
pub(crate) struct Servers {
    addresses: Addresses,
    _guard: Option<Guard>,
}

impl Servers {
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}

/// Servers for the life of this process.
pub(crate) fn provide() -> Result<Servers> {
    let given = Given::from_environment()?;
    install::ensure(&given)?;
    if let Some(addresses) = given.all() {
        return Ok(Servers {
            addresses,
            _guard: None,
        });
    }
    let directory = std::env::temp_dir().join(format!("orchestratum-services-{}", std::process::id()));
    // First the guard, then the servers: there is no moment in which one runs unguarded.
    let guard = Guard::start(&["services", "guard", &directory.to_string_lossy()])?;
    let addresses = start(&directory, given)?;
    Ok(Servers {
        addresses,
        _guard: Some(guard),
    })
}

/// `cargo xtask services up`: servers that stay until `down`; a second `up` finds the first one's.
pub(crate) fn up() -> Result<()> {
    let given = Given::from_environment()?;
    install::ensure(&given)?;
    let directory = standing_directory();
    let record = Record::in_directory(&directory);
    let addresses = match (given.all(), record.addresses()?) {
        (Some(addresses), _) => addresses,
        (None, Some(addresses)) if record.anything_runs()? => addresses,
        (None, _) => {
            record.stop_everything()?;
            start(&directory, given).inspect_err(|_| {
                // The error that is being reported matters more than one in cleaning up after it.
                let _ = record.stop_everything();
            })?
        }
    };
    println!("{}", addresses.exports());
    Ok(())
}

/// `cargo xtask services down`
pub(crate) fn down() -> Result<()> {
    Record::in_directory(&standing_directory()).stop_everything()
}

/// The guard's whole life.
pub(crate) fn guard_until_abandoned(directory: &Path) -> Result<()> {
    guard::wait_until_abandoned();
    Record::in_directory(directory).stop_everything()
}

fn standing_directory() -> PathBuf {
    std::env::temp_dir().join("orchestratum-services")
}

fn start(directory: &Path, given: Given) -> Result<Addresses> {
    let record = Record::create(directory)
        .with_context(|| format!("cannot make the servers' folder {}", directory.display()))?;
    let ports = Ports::find()?;
    let Given {
        database,
        amqp,
        rabbitmq_api,
    } = given;
    let database = match database {
        Some(url) => url,
        None => postgres::start(&record, &ports)?,
    };
    let (amqp, rabbitmq_api) = match (amqp, rabbitmq_api) {
        (Some(amqp), Some(api)) => (amqp, api),
        _ => rabbitmq::start(&record, &ports)?,
    };
    let addresses = Addresses {
        database,
        amqp,
        rabbitmq_api,
    };
    record.keep_addresses(&addresses)?;
    Ok(addresses)
}
