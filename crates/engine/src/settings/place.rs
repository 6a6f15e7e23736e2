//! Where a setting was written: the variable, or the file and its line.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use config::{Config, Map, Value, ValueKind};
use toml::de::{DeTable, DeValue};

/// What the `config` crate calls the source of a variable.
const ENVIRONMENT: &str = "the environment";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Variable(String),
    File { path: String, line: Option<usize> },
}

/// The settings as they were merged, and the files that they may be of, the one that wins first.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) config: &'a Config,
    pub(super) files: Vec<PathBuf>,
}

impl Sources<'_> {
    /// The place of a key, or of the table around it where the key itself is missing; `None` for what nobody wrote but the
    /// defaults or a command line.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        let (names, value) = found(key, &self.config.cache)?;
        match value.origin() {
            Some(ENVIRONMENT) => {
                let names = names.join("__").to_ascii_uppercase();
                Some(Place::Variable(format!("ORCHESTRATUM__{names}")))
            }
            Some(file) => Some(Place::File {
                path: file.to_owned(),
                line: fs::read_to_string(file).ok().and_then(|text| line(&names, &text)),
            }),
            // Tables are merged, and forget where they came from.
            None if matches!(value.kind, ValueKind::Table(_)) => self.files.iter().find_map(|file| {
                let line = line(&names, &fs::read_to_string(file).ok()?)?;
                Some(Place::File {
                    path: file.display().to_string(),
                    line: Some(line),
                })
            }),
            None => None,
        }
    }

    /// Whether the key stands for a table.
    pub(super) fn has_table(&self, key: &str) -> bool {
        found(key, &self.config.cache).is_some_and(|(names, value)| {
            names.join(".").len() == key.len() && matches!(value.kind, ValueKind::Table(_))
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line: None } => f.write_str(path),
            Self::File { path, line: Some(line) } => write!(f, "{path}, line {line}"),
        }
    }
}

/// Goes as deep as the key leads: the names on the way, which may have dots of their own, and the value there.
fn found<'a>(key: &str, root: &'a Value) -> Option<(Vec<&'a str>, &'a Value)> {
    let mut names = Vec::new();
    let (mut rest, mut value) = (key, root);
    while let ValueKind::Table(table) = &value.kind {
        let Some((name, inner, behind)) = entry(rest, table) else {
            break;
        };
        names.push(name);
        (rest, value) = (behind, inner);
    }
    (!names.is_empty()).then_some((names, value))
}

/// The entry whose name the key begins with, and what is left of the key behind it.
fn entry<'a, 'k>(key: &'k str, table: &'a Map<String, Value>) -> Option<(&'a str, &'a Value, &'k str)> {
    let entries = table.iter().filter_map(|(name, value)| {
        let rest = key.strip_prefix(name.as_str())?;
        let behind = match rest.chars().next() {
            Some('.') => &rest[1..],
            // An element of a list is written where the list is.
            None | Some('[') => "",
            Some(_) => return None,
        };
        Some((name.as_str(), value, behind))
    });
    entries.max_by_key(|(name, ..)| name.len())
}

/// The line of a file in which the last of the names stands.
fn line(names: &[&str], text: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let (last, around) = names.split_last()?;
    let mut table = document.get_ref();
    for name in around {
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        let DeValue::Table(inner) = value.get_ref() else {
            return None;
        };
        table = inner;
    }
    let (key, _) = table.iter().find(|(key, _)| key.get_ref() == last)?;
    let before = text.as_bytes().get(..key.span().start)?;
    Some(before.split(|byte| *byte == b'\n').count())
}

#[cfg(test)]
mod tests {
    use config::{File, FileFormat};

    use super::*;

    const TEXT: &str = "\
[worker]
name = \"a\"

[worker.commands.\"video.encode\"]
program = \"b\"
";

    fn config() -> Config {
        let file = File::from_str(TEXT, FileFormat::Toml);
        Config::builder().add_source(file).build().expect("TOML")
    }

    #[test]
    fn a_key_leads_through_names_with_dots_as_deep_as_there_is_something() {
        let config = config();
        for (key, expected) in [
            ("worker.name", vec!["worker", "name"]),
            ("worker.nothing", vec!["worker"]),
            (
                "worker.commands.video.encode.args[0]",
                vec!["worker", "commands", "video.encode"],
            ),
        ] {
            let (names, _) = found(key, &config.cache).expect(key);
            assert_eq!(names, expected, "{key}");
        }
        assert!(found("nothing", &config.cache).is_none());
        let sources = Sources {
            config: &config,
            files: Vec::new(),
        };
        assert!(sources.has_table("worker.commands.video.encode"));
        assert!(!sources.has_table("worker.name") && !sources.has_table("worker.nothing"));
    }

    #[test]
    fn the_line_is_that_of_the_last_name() {
        for (names, expected) in [
            (vec!["worker"], Some(1)),
            (vec!["worker", "name"], Some(2)),
            (vec!["worker", "commands", "video.encode"], Some(4)),
            (vec!["worker", "commands", "video.encode", "program"], Some(5)),
            (vec!["worker", "nothing"], None),
        ] {
            assert_eq!(line(&names, TEXT), expected, "{names:?}");
        }
    }
}
