//! Whether this process may open as many files as its settings let it have connections.

use std::fmt;

use orchestratum_engine::Settings;

/// What the process opens beside the connections of its clients and to the database: the runtime, listeners, logs, the
/// broker, and the programs of a worker inside of it.
const OTHERS: u64 = 100;

/// The settings ask for more than the kernel allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    pub needed: u64,
    pub limit: u64,
    max_connections: usize,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            needed,
            limit,
            max_connections,
        } = self;
        write!(
            f,
            "this process may have {limit} files open, and api.max_connections = {max_connections} needs {needed}: raise \
             the hard limit (`ulimit -Hn`, LimitNOFILE= of systemd) or lower the setting"
        )
    }
}

/// What is missing under a `limit` of open files, if something is.
pub fn shortage(settings: &Settings, limit: u64) -> Option<Shortage> {
    let max_connections = settings.api.max_connections;
    let clients = u64::try_from(max_connections).unwrap_or(u64::MAX);
    let needed = clients.saturating_add(u64::from(settings.database.max_connections) + OTHERS);
    (limit < needed).then_some(Shortage {
        needed,
        limit,
        max_connections,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_short_below_the_connections_and_some() {
        let settings = [("api.max_connections", "1000"), ("database.max_connections", "10")];
        let settings = Settings::load_with(&settings).expect("valid settings");
        assert_eq!(shortage(&settings, 1_110), None);
        let shortage = shortage(&settings, 1_109).expect("one is missing");
        assert_eq!(shortage.needed, 1_110);
        assert!(shortage.to_string().contains("may have 1109 files open"), "{shortage}");
    }
}
