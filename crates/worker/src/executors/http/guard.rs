//! Where a request may go. Decided about addresses as numbers, after names have been resolved: a name says nothing.

use std::net::IpAddr;

use orchestratum_engine::{HttpSettings, Reachable};

use super::public::why_not_public;

#[derive(Debug)]
pub(super) struct Guard {
    allow: Vec<Reachable>,
    ports: Vec<u16>,
}

/// A host that requests may not reach from here. It would be the same again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}the host `{place}` is refused: {rule}; see \"Where requests may go\" in docs/tasks.md",
    redirecting(.redirected_by.as_deref())
)]
pub(super) struct Refused {
    /// With its port.
    pub(super) place: String,
    pub(super) rule: Rule,
    /// The host, with its port, that sent the request there, unless the task itself did.
    pub(super) redirected_by: Option<String>,
}

fn redirecting(by: Option<&str>) -> String {
    by.map_or_else(String::new, |by| format!("`{by}` redirected the request: "))
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rule {
    #[error("it has {0}, which is not public, and `worker.http.allow` does not have it")]
    NotPublic(&'static str),
    #[error("the port {port} is none of `worker.http.ports`{}, and `worker.http.allow` does not have it", shown(.ports))]
    Port { port: u16, ports: Vec<u16> },
}

/// The ports that are permitted are no secret, as what is allowed beside them may be.
fn shown(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    if ports.is_empty() {
        ", which has none".to_owned()
    } else {
        format!(" ({})", ports.join(", "))
    }
}

impl Guard {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Self {
            allow: settings.allow.clone(),
            ports: settings.ports.clone(),
        }
    }

    /// Those of a host's addresses that may be connected to; or, where there is none, the rule that the first one breaks.
    pub(super) fn permitted(&self, host: &str, port: u16, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Refused> {
        let mut permitted = Vec::new();
        let mut broken = None;
        for address in addresses {
            match self.check(host, port, *address) {
                Ok(()) => permitted.push(*address),
                Err(rule) => broken = broken.or(Some(rule)),
            }
        }
        match broken {
            Some(rule) if permitted.is_empty() => Err(Refused {
                place: format!("{host}:{port}"),
                rule,
                redirected_by: None,
            }),
            _ => Ok(permitted),
        }
    }

    fn check(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Rule> {
        if self
            .allow
            .iter()
            .any(|entry| entry.permits(host, address, port, &self.ports))
        {
            return Ok(());
        }
        if let Some(what) = why_not_public(address) {
            return Err(Rule::NotPublic(what));
        }
        if !self.ports.contains(&port) {
            return Err(Rule::Port {
                port,
                ports: self.ports.clone(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str]) -> Guard {
        let allow = allow.iter().map(|entry| entry.parse().expect("an entry")).collect();
        Guard {
            allow,
            ports: vec![80, 443],
        }
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn of_several_addresses_only_the_permitted_ones_are_left() {
        let mixed = addresses(&["10.0.0.1", "93.184.216.34", "::1", "2606:4700::1111"]);
        let permitted = guard(&[]).permitted("a.example", 443, &mixed);
        assert_eq!(permitted, Ok(addresses(&["93.184.216.34", "2606:4700::1111"])));
    }

    #[test]
    fn a_host_none_of_whose_addresses_is_permitted_is_refused_with_the_rule() {
        let refused = guard(&[]).permitted("db.internal", 443, &addresses(&["10.0.0.1", "127.0.0.1"]));
        assert_eq!(
            refused.expect_err("neither is public").to_string(),
            "the host `db.internal:443` is refused: it has a private address, which is not public, and `worker.http.allow` does \
             not have it; see \"Where requests may go\" in docs/tasks.md"
        );
        let refused = guard(&[]).permitted("a.example", 6379, &addresses(&["93.184.216.34"]));
        assert_eq!(
            refused.expect_err("the port").to_string(),
            "the host `a.example:6379` is refused: the port 6379 is none of `worker.http.ports` (80, 443), and \
             `worker.http.allow` does not have it; see \"Where requests may go\" in docs/tasks.md"
        );
        let closed = Guard {
            ports: Vec::new(),
            ..guard(&[])
        };
        let refused = closed.permitted("a.example", 80, &addresses(&["93.184.216.34"]));
        let told = refused.expect_err("no port at all").to_string();
        assert!(
            told.contains("none of `worker.http.ports`, which has none, and"),
            "{told}"
        );
    }

    #[test]
    fn what_is_allowed_by_network_or_by_name_may_be_reached_at_its_port_alone() {
        let guard = guard(&["127.0.0.1:8080", "db.internal", "93.184.216.34:6379"]);
        let permits =
            |host: &str, port: u16, address: &str| guard.permitted(host, port, &addresses(&[address])).is_ok();
        assert!(permits("localhost", 8080, "127.0.0.1"));
        assert!(!permits("localhost", 80, "127.0.0.1"));
        assert!(permits("db.internal", 443, "10.0.0.1"));
        assert!(!permits("db.internal", 5432, "10.0.0.1"));
        assert!(!permits("other.internal", 443, "10.0.0.1"));
        assert!(permits("a.example", 6379, "93.184.216.34"));
    }
}
