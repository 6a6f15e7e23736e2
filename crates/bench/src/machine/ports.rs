//! Ports for the programs that are measured.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};

/// Free when it was asked for; whoever takes it in between makes the program fail to start, which is noticed.
pub(crate) fn free_port() -> Result<SocketAddr> {
    let [address] = free_ports()?;
    Ok(address)
}

/// All of them free at the same time, so that no two are the same.
pub(crate) fn free_ports<const COUNT: usize>() -> Result<[SocketAddr; COUNT]> {
    let free = || {
        let listeners = [(); COUNT].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); COUNT];
        for (address, listener) in addresses.iter_mut().zip(&listeners) {
            *address = listener.as_ref().map_err(io::Error::kind)?.local_addr()?;
        }
        io::Result::Ok(addresses)
    };
    free().context("cannot find a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_are_free_at_the_same_time_differ() {
        let mut ports = free_ports::<8>()
            .expect("the machine has some")
            .map(|address| address.port());
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "{ports:?}");
        assert!(ports.iter().all(|port| *port > 0), "{ports:?}");
    }
}
