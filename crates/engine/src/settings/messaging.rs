//! Where `amqp` and `celery` tasks may send messages.

use std::fmt;
use std::str::FromStr;

use orchestratum_broker::check_amqp_url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::forms::list_or_commas;

/// Where `amqp` tasks may go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmqpSettings {
    /// Empty: such tasks are not offered.
    pub url: SecretString,
    #[serde(deserialize_with = "list_or_commas")]
    pub exchanges: Vec<NamePattern>,
    #[serde(deserialize_with = "list_or_commas")]
    pub queues: Vec<NamePattern>,
}

/// Whose workers run `celery` tasks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CelerySettings {
    /// Empty: such tasks are not offered.
    pub url: SecretString,
    pub default_queue: String,
    #[serde(deserialize_with = "list_or_commas")]
    pub queues: Vec<NamePattern>,
    pub control_exchange: String,
}

impl AmqpSettings {
    pub fn is_configured(&self) -> bool {
        !self.url.expose_secret().is_empty()
    }

    /// The setting that is broken, and its rule.
    pub(super) fn broken(&self) -> Option<(&'static str, &'static str)> {
        let url = check_url(&self.url)?;
        Some(("worker.amqp.url", url))
    }
}

impl CelerySettings {
    pub fn is_configured(&self) -> bool {
        !self.url.expose_secret().is_empty()
    }

    /// The setting that is broken, and its rule.
    pub(super) fn broken(&self) -> Option<(&'static str, &'static str)> {
        const RULE: &str = "must have 1 to 200 bytes";
        let is_name = |name: &str| (1..=200).contains(&name.len());
        if let Some(rule) = check_url(&self.url) {
            return Some(("worker.celery.url", rule));
        }
        if !is_name(&self.default_queue) {
            return Some(("worker.celery.default_queue", RULE));
        }
        (!is_name(&self.control_exchange)).then_some(("worker.celery.control_exchange", RULE))
    }
}

fn check_url(url: &SecretString) -> Option<&'static str> {
    let url = url.expose_secret();
    if url.is_empty() {
        return None;
    }
    check_amqp_url(url).err()
}

/// A name of a queue or an exchange, or how those begin that are meant: `orders.*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    beginning: String,
    is_whole: bool,
}

impl NamePattern {
    pub fn matches(&self, name: &str) -> bool {
        if self.is_whole {
            name == self.beginning
        } else {
            name.starts_with(&self.beginning)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a name of at most 255 bytes, or the beginning of one and a `*`")]
pub struct InvalidPattern;

impl FromStr for NamePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let beginning = text.strip_suffix('*');
        let pattern = Self {
            beginning: beginning.unwrap_or(text).to_owned(),
            is_whole: beginning.is_none(),
        };
        let is_name = (1..=255).contains(&text.len()) && !pattern.beginning.contains('*');
        if is_name { Ok(pattern) } else { Err(InvalidPattern) }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = if self.is_whole { "" } else { "*" };
        write!(f, "{}{ending}", self.beginning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        let matches = |pattern: &str, name: &str| pattern.parse::<NamePattern>().expect("a pattern").matches(name);
        assert!(matches("orders", "orders") && !matches("orders", "orders.new"));
        assert!(matches("orders.*", "orders.new") && !matches("orders.*", "orders"));
        assert!(matches("*", "anything"));
        for wrong in ["", "a*b", "**", &"a".repeat(256)] {
            assert_eq!(wrong.parse::<NamePattern>(), Err(InvalidPattern), "{wrong}");
        }
        assert_eq!(
            "orders.*".parse::<NamePattern>().expect("a pattern").to_string(),
            "orders.*"
        );
    }
}
