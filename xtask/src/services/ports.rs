//! Ports that nobody listens on.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// Below the range that Linux takes outgoing connections from (32768 and up), so that none of them gets in between.
const FIRST: u16 = 25_000;
const LAST: u16 = 31_980;
const BLOCK: u16 = 5;

/// One port for each thing that listens.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) postgres: u16,
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) port_mapper: u16,
    pub(super) distribution: u16,
}

impl Ports {
    pub(super) fn find() -> Result<Self> {
        // Runs that start at the same moment begin at different places.
        let blocks = (LAST - FIRST) / BLOCK;
        let start = u16::try_from(std::process::id() % u32::from(blocks)).unwrap_or_default();
        let first = (0..blocks)
            .map(|step| FIRST + (start + step) % blocks * BLOCK)
            .find(|first| (*first..first + BLOCK).all(is_free))
            .context("no five free ports in a row on 127.0.0.1")?;
        Ok(Self {
            postgres: first,
            amqp: first + 1,
            management: first + 2,
            port_mapper: first + 3,
            distribution: first + 4,
        })
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_listened_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("some port is free");
        assert!(!is_free(listener.local_addr().expect("it is bound").port()));
    }
}
