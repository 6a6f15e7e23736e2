//! Variables that were meant to be settings.

use config::{Config, Value, ValueKind};

/// The first variable that would be a setting if it had two underscores where it has one: it would say nothing, and nobody
/// would notice.
pub(super) fn mistaken(names: impl Iterator<Item = String>, defaults: &Config) -> Option<String> {
    let mut settings = Vec::new();
    collect("ORCHESTRATUM", &defaults.cache, &mut settings);
    names
        .filter(|name| name.starts_with("ORCHESTRATUM_") && !name.starts_with("ORCHESTRATUM__"))
        .find_map(|name| {
            let single = |name: &str| name.replace("__", "_");
            let meant = settings.iter().find(|setting| single(setting) == single(&name))?;
            Some(format!("{name} is no setting: write {meant}, with two underscores"))
        })
}

/// The variables of all settings.
fn collect(prefix: &str, value: &Value, settings: &mut Vec<String>) {
    match &value.kind {
        ValueKind::Table(table) => {
            for (name, inner) in table {
                collect(&format!("{prefix}__{}", name.to_ascii_uppercase()), inner, settings);
            }
        }
        _ => settings.push(prefix.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use config::ConfigError;

    use super::*;
    use crate::settings::defaults;

    #[test]
    fn one_underscore_too_few_is_noticed_and_other_variables_are_not() -> Result<(), ConfigError> {
        let defaults = defaults()?;
        let mistaken = |name: &str| mistaken([name.to_owned()].into_iter(), &defaults);
        assert_eq!(
            mistaken("ORCHESTRATUM_WORKER_LEASE_SECONDS").as_deref(),
            Some(
                "ORCHESTRATUM_WORKER_LEASE_SECONDS is no setting: write ORCHESTRATUM__WORKER__LEASE_SECONDS, with two \
                 underscores"
            )
        );
        assert!(mistaken("ORCHESTRATUM_API__TLS__LISTEN").is_some());
        for other in [
            "ORCHESTRATUM__WORKER__CONCURRENCY",
            "ORCHESTRATUM_URL",
            "ORCHESTRATUM_API_PORT",
            "PATH",
        ] {
            assert_eq!(mistaken(other), None, "{other}");
        }
        Ok(())
    }
}
