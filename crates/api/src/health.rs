//! `--health`: a container's health check without any other program in its image.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

const PATIENCE: Duration = Duration::from_secs(2);

/// Asks `GET /health/live`.
pub(crate) fn is_live(listen: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(listen);
    let stream =
        TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    (&stream)
        .write_all(format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut status = String::new();
    BufReader::new(&stream).read_line(&mut status)?;
    ensure!(
        status.starts_with("HTTP/1.1 200"),
        "{address} answered {:?}",
        status.trim_end()
    );
    Ok(())
}

/// "All addresses" is not one that can be asked; loopback is among them.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        let asked = |listen: &str| reachable(listen.parse().expect("an address")).to_string();
        assert_eq!(asked("0.0.0.0:5000"), "127.0.0.1:5000");
        assert_eq!(asked("[::]:5000"), "[::1]:5000");
        assert_eq!(asked("10.0.0.1:5000"), "10.0.0.1:5000");
    }
}
