//! `worker.commands`: programs of one's own that run tasks.
//!
//! In a file it is a table for each command. In the environment, whose names have neither dots nor small letters, it is one
//! JSON object with all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;

use orchestratum_core::TaskName;
use orchestratum_core::task::BuiltIn;
use secrecy::{ExposeSecret, SecretString};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::WorkerLimits;

/// By the name of the tasks that each runs.
pub type Commands = BTreeMap<TaskName, CommandSettings>;

/// A program that runs the tasks of a name: it reads the input and writes the output.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSettings {
    /// Its path, or its name in the search path of the worker.
    pub program: String,
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables beside those that every program gets.
    #[serde(default)]
    pub env: BTreeMap<String, SecretString>,
    /// Whether it gets the network of the machine, whatever `worker.network` says.
    #[serde(default)]
    pub network: bool,
    /// Files and folders that it may read beside itself and the system.
    #[serde(default)]
    pub readable: Vec<PathBuf>,
    /// What its tasks have that ask for nothing.
    #[serde(default)]
    pub limits: CommandLimits,
    /// After these there is no other attempt.
    #[serde(default)]
    pub permanent_exit_codes: Vec<i32>,
}

/// What is not said is what `worker.limits` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandLimits {
    pub memory_mb: Option<NonZeroU64>,
    pub cpu_seconds: Option<NonZeroU64>,
    pub disk_mb: Option<NonZeroU64>,
    pub processes: Option<NonZeroU64>,
}

/// What the worker and the sandbox set themselves.
const RESERVED_VARIABLES: [&str; 2] = ["HOME", "TMPDIR"];
const RESERVED_PREFIX: &str = "ORCHESTRATUM_";

impl CommandSettings {
    /// The first broken rule: the setting below that of the command, and what it must be.
    pub(crate) fn broken(&self, name: &TaskName, most: &WorkerLimits) -> Option<(String, String)> {
        let Self {
            program,
            args,
            env,
            network: _,
            readable,
            limits,
            permanent_exit_codes,
        } = self;
        let broken = |key: &str, rule: &str| Some((key.to_owned(), rule.to_owned()));
        if BuiltIn::is_reserved(name) {
            return broken("", "has the name of a built-in task, which no command can have");
        }
        if program.is_empty() || has_nul(program) {
            return broken(".program", "must be the path or the name of a program");
        }
        if args.iter().any(|argument| has_nul(argument)) {
            return broken(".args", "must not have the character U+0000");
        }
        for (variable, value) in env {
            let rule = if variable.is_empty() || variable.contains('=') || has_nul(variable) {
                "is no name of a variable"
            } else if variable.starts_with(RESERVED_PREFIX) || RESERVED_VARIABLES.contains(&variable.as_str()) {
                "is set by the worker itself"
            } else if has_nul(value.expose_secret()) {
                "must not have the character U+0000"
            } else {
                continue;
            };
            return Some((format!(".env.{variable:?}"), rule.to_owned()));
        }
        if readable
            .iter()
            .any(|path| !path.is_absolute() || path.parent().is_none())
        {
            return broken(".readable", "must have absolute paths, and not the root of all");
        }
        if permanent_exit_codes.iter().any(|code| !(1..=255).contains(code)) {
            return broken(".permanent_exit_codes", "must lie between 1 and 255");
        }
        limits.above(most)
    }
}

impl CommandLimits {
    fn above(&self, most: &WorkerLimits) -> Option<(String, String)> {
        let Self {
            memory_mb,
            cpu_seconds,
            disk_mb,
            processes,
        } = *self;
        let limits = [
            ("memory_mb", memory_mb, most.memory_mb),
            ("cpu_seconds", cpu_seconds, most.cpu_seconds),
            ("disk_mb", disk_mb, most.disk_mb),
            ("processes", processes, most.processes),
        ];
        let (limit, most) = limits.into_iter().find_map(|(limit, usual, most)| {
            // There, 0 is no limit.
            usual
                .filter(|usual| most > 0 && usual.get() > most)
                .map(|_| (limit, most))
        })?;
        let rule = format!("must not be above worker.limits.{limit}, which is {most}");
        Some((format!(".limits.{limit}"), rule))
    }
}

fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// A table in a file, a JSON object in the environment, where an empty text stands for none.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Commands, D::Error> {
    let commands = deserializer.deserialize_any(Form)?;
    let named = |(name, command): (String, CommandSettings)| match TaskName::new(name.as_str()) {
        Ok(name) => Ok((name, command)),
        Err(error) => Err(D::Error::custom(format!("the name {name:?} {error}"))),
    };
    commands.into_iter().map(named).collect()
}

struct Form;

impl<'de> Visitor<'de> for Form {
    type Value = BTreeMap<String, CommandSettings>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of commands, or a JSON object of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.is_empty() {
            return Ok(BTreeMap::new());
        }
        serde_json::from_str(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        BTreeMap::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::Settings;

    const TABLE: &str = r#"
[worker.commands."video.encode"]
program = "python3"
args = ["-u", "/srv/encoder/encode.py"]
env = { MODEL_DIR = "/srv/models", Token = "very secret" }
network = true
readable = ["/srv/encoder"]
permanent_exit_codes = [2, 64]

[worker.commands."video.encode".limits]
memory_mb = 512

[worker.commands.Thumbnail]
program = "/usr/bin/thumbnail"
"#;

    fn from_file(table: &str) -> Result<Commands, crate::settings::Error> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("test.toml"), table).expect("written");
        Settings::load_from(folder.path(), Some("test"), &[]).map(|settings| settings.worker.commands)
    }

    fn from_environment(json: &str) -> Result<Commands, crate::settings::Error> {
        let overrides = [("worker.commands", json)];
        Settings::load_from(Path::new("none"), None, &overrides).map(|settings| settings.worker.commands)
    }

    fn told(error: &crate::settings::Error) -> String {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        format!("{error}: {}", cause.unwrap_or_default())
    }

    #[test]
    fn a_command_has_a_table_under_its_whole_name() {
        let commands = from_file(TABLE).expect("valid");
        let names: Vec<&str> = commands.keys().map(TaskName::as_str).collect();
        assert_eq!(names, ["Thumbnail", "video.encode"]);
        let encode = &commands[&TaskName::new("video.encode").expect("a name")];
        assert_eq!(encode.args, ["-u", "/srv/encoder/encode.py"]);
        let variables: Vec<&str> = encode.env.keys().map(String::as_str).collect();
        assert_eq!(variables, ["MODEL_DIR", "Token"]);
        assert!(encode.network && encode.permanent_exit_codes == [2, 64]);
        assert_eq!(encode.limits.memory_mb.map(NonZeroU64::get), Some(512));
        let thumbnail = &commands[&TaskName::new("Thumbnail").expect("a name")];
        assert!(!thumbnail.network && thumbnail.args.is_empty() && thumbnail.readable.is_empty());
        assert_eq!(thumbnail.limits, CommandLimits::default());
        assert!(from_file("").expect("valid").is_empty());
    }

    #[test]
    fn the_environment_has_all_commands_as_json() {
        let json = r#"{"video.encode": {"program": "encode", "args": ["a, b"], "limits": {"processes": 5}}}"#;
        let commands = from_environment(json).expect("valid");
        let encode = &commands[&TaskName::new("video.encode").expect("a name")];
        assert_eq!(
            (encode.program.as_str(), encode.args.as_slice()),
            ("encode", &["a, b".to_owned()][..])
        );
        assert!(from_environment("").expect("valid").is_empty());
    }

    /// Settings, and what is told of them.
    const WRONG: &[(&str, &str)] = &[
        (
            "[worker.commands.python]\nprogram = \"a\"",
            "worker.commands.\"python\" has the name of a built-in task",
        ),
        (
            "[worker.commands.celery]\nprogram = \"a\"",
            "worker.commands.\"celery\" has the name of a built-in task",
        ),
        (
            "[worker.commands.\"a b\"]\nprogram = \"a\"",
            "the name \"a b\" must match",
        ),
        ("[worker.commands.\"a.b\"]", "worker.commands.a.b.program must be given"),
        (
            "[worker.commands.a]\nprogram = \"\"",
            "worker.commands.\"a\".program must be",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\nargz = []",
            "unknown field `argz`",
        ),
        ("[worker.commands.a]\nprogram = \"a\"\nargz = []", "worker.commands.a: "),
        (
            "[worker.commands.a]\nprogram = \"a\"\nargs = \"b c\"",
            "worker.commands.a.args: ",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\nargs = [\"\\u0000\"]",
            "worker.commands.\"a\".args must not",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\nenv = { HOME = \"b\" }",
            "worker.commands.\"a\".env.\"HOME\" is set by the worker",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\nenv = { ORCHESTRATUM_RUN = \"b\" }",
            "env.\"ORCHESTRATUM_RUN\" is set by the worker",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\nenv = { \"A=B\" = \"c\" }",
            "env.\"A=B\" is no name of a variable",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\nreadable = [\"b\"]",
            "worker.commands.\"a\".readable must have absolute paths",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\nreadable = [\"/\"]",
            "worker.commands.\"a\".readable must have absolute paths, and not the root",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\npermanent_exit_codes = [0]",
            "worker.commands.\"a\".permanent_exit_codes must lie between 1 and 255",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\nlimits = { memory_mb = 0 }",
            "worker.commands.a.limits.memory_mb: ",
        ),
        (
            "[worker.commands.a]\nprogram = \"a\"\nlimits = { disk_mb = 5000 }",
            "worker.commands.\"a\".limits.disk_mb must not be above worker.limits.disk_mb, which is 1024",
        ),
    ];

    #[test]
    fn what_is_wrong_with_a_command_is_told_with_the_setting() {
        for (line, expected) in WRONG {
            let error = from_file(line).expect_err(line);
            assert!(told(&error).contains(expected), "{line}: {}", told(&error));
        }
        for json in ["[]", "{\"a\": {}}", "{\"a\": {\"program\": \"b\", \"argz\": []}}", "{"] {
            let error = from_environment(json).expect_err(json);
            assert!(told(&error).contains("worker.commands"), "{json}: {}", told(&error));
        }
    }

    #[test]
    fn variables_of_a_command_cannot_be_printed() {
        let commands = from_file(TABLE).expect("valid");
        assert!(!format!("{commands:?}").contains("very secret"));
    }
}
