//! What is wrong with a setting, in the words of whoever wrote it.

use std::fmt;

use config::ConfigError;

use super::place::{Place, Sources};

/// Tables whose entries have names of one's own, which may have dots.
const NAMED: [&str; 2] = ["worker.commands", "worker.environments"];

/// A setting that cannot be read as what it is to be.
#[derive(Debug)]
pub(super) struct Fault {
    key: Option<String>,
    message: String,
    hint: Option<String>,
    place: Option<Place>,
}

impl Fault {
    pub(super) fn of(error: &ConfigError, sources: &Sources<'_>) -> Self {
        let (key, message) = match error {
            ConfigError::At { error, key, .. } => (key.clone(), error.to_string()),
            ConfigError::Type {
                unexpected,
                expected,
                key,
                ..
            } => {
                let message = format!("must be {}, not {}", in_words(expected), value(&unexpected.to_string()));
                (key.clone(), message)
            }
            ConfigError::NotFound(key) => (Some(key.clone()), "must be given".to_owned()),
            other => (None, other.to_string()),
        };
        let unknown = message.strip_prefix("unknown field `");
        let unknown = unknown.and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
        let written = match (key.as_deref(), unknown) {
            (Some(table), Some(name)) => format!("{table}.{name}"),
            (Some(key), None) => key.to_owned(),
            (None, name) => name.unwrap_or_default().to_owned(),
        };
        let hint = unknown.and_then(|name| unquoted(key.as_deref()?, name, sources));
        Self {
            place: sources.place(&written),
            key,
            message,
            hint,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |key: &&String| !self.message.starts_with(key.as_str());
        if let Some(key) = self.key.as_ref().filter(named) {
            let stop = if self.message.starts_with("must ") { "" } else { ":" };
            write!(f, "{key}{stop} ")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

/// What to write instead of `[worker.commands.video.encode]`, which is a table in a table.
fn unquoted(key: &str, unknown: &str, sources: &Sources<'_>) -> Option<String> {
    let (table, name) = NAMED
        .into_iter()
        .find_map(|table| Some((table, key.strip_prefix(table)?.strip_prefix('.')?)))?;
    sources
        .has_table(&format!("{key}.{unknown}"))
        .then(|| format!("a name with a dot stands in quotes: [{table}.\"{name}.{unknown}\"]"))
}

/// What the `config` crate expected.
fn in_words(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a floating point" => "a number",
        "a map" => "a table",
        "an array" => "a list",
        "a string" => "a text",
        "an unsigned 8 bit integer" => "a whole number from 0 to 255",
        "an unsigned 16 bit integer" => "a whole number from 0 to 65535",
        "an unsigned 32 bit integer" => "a whole number from 0 to 4294967295",
        _ if expected.starts_with("an unsigned ") => "a whole number, 0 or more",
        _ if expected.ends_with("integer") => "a whole number",
        _ => expected,
    }
}

/// What it found, without the type.
fn value(unexpected: &str) -> &str {
    match unexpected {
        "sequence" => "a list",
        "map" => "a table",
        "unit value" => "nothing",
        _ => match unexpected.split_once('`') {
            Some((_, number)) => number.trim_end_matches('`'),
            None => unexpected.strip_prefix("string ").unwrap_or(unexpected),
        },
    }
}
