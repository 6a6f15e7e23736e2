//! `--health`: what a container asks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

const DEADLINE: Duration = Duration::from_secs(2);

/// Succeeds if the worker on this machine answers.
pub(crate) fn ask(listen: Option<SocketAddr>) -> anyhow::Result<()> {
    let Some(mut address) = listen else {
        bail!("worker.listen is empty: nobody answers");
    };
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let mut stream =
        TcpStream::connect_timeout(&address, DEADLINE).with_context(|| format!("nobody answers at {address}"))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if &answer[9..] == b"200" {
        Ok(())
    } else {
        bail!(
            "the worker at {address} is not well: {}",
            String::from_utf8_lossy(&answer)
        )
    }
}
