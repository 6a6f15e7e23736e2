//! What `http` tasks may reach although it is not public: an entry of `worker.http.allow`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// `10.1.0.0/16`, `billing.internal`, `127.0.0.1:8080`, `[fd00::/8]:8080`: a network, an address or the name of a host, and
/// maybe a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachable {
    place: Place,
    /// `None`: those of `worker.http.ports`.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Network(IpNet),
    /// In lower case, without a dot at its end. Whatever address it leads to.
    Host(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReachable {
    #[error("must be a network, an address or the name of a host, such as 10.1.0.0/16, 127.0.0.1 or billing.internal")]
    Place,
    #[error("must be a network whose address ends where its prefix does, such as 10.1.0.0/16 instead of 10.1.2.3/16")]
    HostBits,
    #[error(
        "must have no scheme such as http://, and no path: only a network, an address or the name of a host, and maybe a port"
    )]
    Scheme,
    #[error("must end with a port from 1 to 65535, or with none; an IPv6 address before a port stands in brackets")]
    Port,
}

impl Reachable {
    /// Whether this entry lets a request to `host` go to an address that the name has.
    pub fn permits(&self, host: &str, address: IpAddr, port: u16, usual_ports: &[u16]) -> bool {
        let place = match &self.place {
            Place::Network(network) => network.contains(&address),
            Place::Host(name) => host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(name),
        };
        place && self.port.map_or_else(|| usual_ports.contains(&port), |own| own == port)
    }
}

impl FromStr for Reachable {
    type Err = InvalidReachable;

    fn from_str(text: &str) -> Result<Self, InvalidReachable> {
        if text.contains("://") {
            return Err(InvalidReachable::Scheme);
        }
        let (place, port) = parts(text)?;
        let port = port.map(str::parse::<u16>).transpose();
        let port = port
            .ok()
            .filter(|port| *port != Some(0))
            .ok_or(InvalidReachable::Port)?;
        Ok(Self {
            place: place.parse()?,
            port,
        })
    }
}

/// A place, and a port if there is one.
fn parts(text: &str) -> Result<(&str, Option<&str>), InvalidReachable> {
    if let Some(rest) = text.strip_prefix('[') {
        let (place, rest) = rest.split_once(']').ok_or(InvalidReachable::Place)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((place, Some(port))),
            None if rest.is_empty() => Ok((place, None)),
            None => Err(InvalidReachable::Port),
        };
    }
    Ok(match text.split_once(':') {
        Some((place, port)) if !port.contains(':') => (place, Some(port)),
        // No port, or an IPv6 address.
        Some(_) | None => (text, None),
    })
}

impl FromStr for Place {
    type Err = InvalidReachable;

    fn from_str(text: &str) -> Result<Self, InvalidReachable> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        if text.contains('/') {
            let network: IpNet = text.parse().map_err(|_| InvalidReachable::Place)?;
            if network.trunc() != network {
                return Err(InvalidReachable::HostBits);
            }
            return Ok(Self::Network(network));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if is_host(name) {
            Ok(Self::Host(name.to_ascii_lowercase()))
        } else {
            Err(InvalidReachable::Place)
        }
    }
}

/// A name of the DNS. One whose last part is a number is an address that was written wrongly.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_letter)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Reachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Network(network) => write!(f, "[{network}]")?,
            Place::Host(name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(entry: &str, host: &str, address: &str, port: u16) -> bool {
        let entry: Reachable = entry.parse().unwrap_or_else(|error| panic!("{entry}: {error}"));
        entry.permits(host, address.parse().expect("an address"), port, &[80, 443])
    }

    #[test]
    fn an_entry_permits_what_lies_in_it_at_the_usual_ports_or_at_its_own() {
        for (entry, host, address, port, expected) in [
            ("10.1.0.0/16", "10.1.2.3", "10.1.2.3", 443, true),
            ("10.1.0.0/16", "db.internal", "10.1.2.3", 80, true),
            ("10.1.0.0/16", "10.2.0.1", "10.2.0.1", 443, false),
            ("10.1.0.0/16", "10.1.2.3", "10.1.2.3", 8080, false),
            ("10.1.0.0/16:8080", "10.1.2.3", "10.1.2.3", 8080, true),
            ("10.1.0.0/16:8080", "10.1.2.3", "10.1.2.3", 80, false),
            ("127.0.0.1", "localhost", "127.0.0.1", 80, true),
            ("127.0.0.1", "localhost", "127.0.0.2", 80, false),
            ("127.0.0.1", "a", "::ffff:127.0.0.1", 80, false),
            ("fd00::/8", "a", "fd12::1", 80, true),
            ("::1", "a", "::1", 80, true),
            ("[::1]:9000", "a", "::1", 9000, true),
            ("[fd00::/8]:9000", "a", "fd12::1", 9000, true),
            ("Billing.Internal.", "BILLING.internal", "10.9.9.9", 80, true),
            ("billing.internal", "billing.internal.", "10.9.9.9", 80, true),
            ("billing.internal", "a.billing.internal", "10.9.9.9", 80, false),
            ("billing.internal:8080", "billing.internal", "10.9.9.9", 8080, true),
        ] {
            assert_eq!(
                permits(entry, host, address, port),
                expected,
                "{entry} for {host} at {port}"
            );
        }
    }

    #[test]
    fn what_is_neither_a_network_nor_a_host_is_refused() {
        for (entry, expected) in [
            ("", InvalidReachable::Place),
            ("*", InvalidReachable::Place),
            ("*.internal", InvalidReachable::Place),
            ("http://billing", InvalidReachable::Scheme),
            ("billing/", InvalidReachable::Place),
            ("10.1", InvalidReachable::Place),
            ("10.1.2.3/33", InvalidReachable::Place),
            ("10.1.2.3/16", InvalidReachable::HostBits),
            ("billing.internal/8", InvalidReachable::Place),
            ("a..b", InvalidReachable::Place),
            ("[::1", InvalidReachable::Place),
            ("[::1]8080", InvalidReachable::Port),
            ("127.0.0.1:0", InvalidReachable::Port),
            ("127.0.0.1:70000", InvalidReachable::Port),
            ("127.0.0.1:", InvalidReachable::Port),
        ] {
            assert_eq!(entry.parse::<Reachable>(), Err(expected), "{entry}");
        }
    }

    #[test]
    fn it_is_written_as_it_can_be_read() {
        for entry in [
            "10.1.0.0/16",
            "127.0.0.1:8080",
            "[fd00::/8]:80",
            "billing.internal:8080",
            "a",
        ] {
            let entry: Reachable = entry.parse().expect("valid");
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
    }
}
