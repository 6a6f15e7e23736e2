//! What a command line says about a task, as the api wants it.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value};

/// A number of seconds that has a place in JSON; its rules are the api's.
pub(in super::super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Ok(seconds),
        _ => Err("must be a number of seconds".to_owned()),
    }
}

/// How long to wait for the end of a task.
pub(in crate::client) fn patience(text: &str) -> Result<Duration, String> {
    seconds(text)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()))
        .map_err(|_| "must be a number of seconds from 0 on".to_owned())
}

/// `key=value` pairs, each key once.
pub(super) fn labels(pairs: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            bail!("a label is written key=value, not {pair:?}");
        };
        if labels.insert(key.to_owned(), value.to_owned()).is_some() {
            bail!("the label {key:?} is given twice");
        }
    }
    Ok(labels)
}

/// An object of the fields that were given.
pub(in crate::client) fn given<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// JSON itself, `@file`, or `-` for standard input.
pub(in crate::client) fn json(source: &str) -> anyhow::Result<Value> {
    match source.strip_prefix('@') {
        Some(file) => json_of_file(file),
        None if source == "-" => json_of_file(source),
        None => serde_json::from_str(source).context("what was given is not JSON (nor @FILE, nor -)"),
    }
}

/// The JSON in a file, or `-` for standard input.
pub(in crate::client) fn json_of_file(file: &str) -> anyhow::Result<Value> {
    let place = if file == "-" { "standard input" } else { file };
    serde_json::from_str(&text_of_file(file)?).with_context(|| format!("{place} is not JSON"))
}

/// The text in a file, or `-` for standard input.
pub(in crate::client) fn text_of_file(file: &str) -> anyhow::Result<String> {
    if file != "-" {
        return std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"));
    }
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.context("standard input cannot be read")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_key_that_is_given_once() {
        let labels = |pairs: &[&str]| labels(&pairs.iter().map(ToString::to_string).collect::<Vec<_>>());
        let both = labels(&["a=1", "b=x=y"]).expect("two labels");
        assert_eq!(
            both.into_iter().collect::<Vec<_>>(),
            [("a".into(), "1".into()), ("b".into(), "x=y".into())]
        );
        assert!(labels(&["a"]).is_err());
        assert!(labels(&["a=1", "a=2"]).is_err());
    }

    #[test]
    fn what_has_no_place_in_json_is_no_number_of_seconds() {
        assert_eq!(seconds("1.5"), Ok(1.5));
        for text in ["", "soon", "inf", "NaN"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(patience("0.5"), Ok(Duration::from_millis(500)));
        assert!(patience("-1").is_err());
    }
}
