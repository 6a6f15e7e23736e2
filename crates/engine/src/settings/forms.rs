//! How values are written that files and the environment can say in different ways.

use std::net::SocketAddr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// One of a few words, with what each stands for.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let allowed = match allowed.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => allowed.concat(),
        };
        format!("must be {allowed}, not {text:?}")
    })
}

/// Where to listen.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parsed(&text).map_err(D::Error::custom)
}

/// The same, where an empty text stands for nowhere.
pub(super) fn address_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    parsed(&text).map(Some).map_err(D::Error::custom)
}

fn parsed(text: &str) -> Result<SocketAddr, String> {
    let broken = |_| format!("must be an IP address and a port, such as 127.0.0.1:5000, not {text:?}");
    text.parse().map_err(broken)
}

/// An empty text turns an optional setting off, because the environment cannot say "nothing" in another way.
pub(super) fn empty_is_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}

/// A list in a file, `a,b` in the environment, where an empty text is an empty list.
pub(super) fn list_or_commas<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<Entry>),
        Commas(String),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Text(String),
        Number(u64),
    }
    let texts: Vec<String> = match Form::deserialize(deserializer)? {
        Form::List(list) => {
            let text = |entry| match entry {
                Entry::Text(text) => text,
                Entry::Number(number) => number.to_string(),
            };
            list.into_iter().map(text).collect()
        }
        Form::Commas(text) if text.is_empty() => Vec::new(),
        Form::Commas(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
    };
    let parse = |text: String| {
        text.parse::<T>()
            .map_err(|error| <D::Error as serde::de::Error>::custom(format!("{text:?} {error}")))
    };
    texts.into_iter().map(parse).collect()
}
