//! Where the packages of an environment come from: an entry of `worker.environments`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orchestratum_core::EnvironmentName;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Each is looked at when a worker starts, and told with the worker to everybody.
const COUNT_MAX: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentSettings {
    /// Somebody made it, who also keeps it up to date.
    VirtualEnvironment(PathBuf),
    /// The worker makes it, of the wheels in a folder.
    Wheels {
        folder: PathBuf,
        requirements: Requirements,
    },
}

/// What is to be installed, in pip's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirements {
    Listed(Vec<String>),
    File(PathBuf),
}

pub(super) fn read<'de, D>(deserializer: D) -> Result<BTreeMap<EnvironmentName, EnvironmentSettings>, D::Error>
where
    D: Deserializer<'de>,
{
    let entries = BTreeMap::<String, Fields>::deserialize(deserializer)?;
    if entries.len() > COUNT_MAX {
        let message = format!("worker.environments has more than {COUNT_MAX} entries");
        return Err(D::Error::custom(message));
    }
    let environments = entries.into_iter().map(|(name, fields)| {
        let told = |rule: &dyn std::fmt::Display| D::Error::custom(format!("worker.environments.{name:?} {rule}"));
        let settings = fields.settings().map_err(|rule| told(&rule))?;
        let name = EnvironmentName::new(name.as_str()).map_err(|rule| told(&rule))?;
        Ok((name, settings))
    });
    environments.collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    virtual_environment: Option<PathBuf>,
    wheels: Option<PathBuf>,
    requirements: Option<Listed>,
    requirements_file: Option<PathBuf>,
}

/// A list in a file; a text in the environment, with one a line.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    List(Vec<String>),
    Lines(String),
}

impl Fields {
    fn settings(self) -> Result<EnvironmentSettings, &'static str> {
        let requirements = match (self.requirements, self.requirements_file) {
            (None, None) => None,
            (Some(listed), None) => Some(Requirements::Listed(listed.into_lines())),
            (None, Some(file)) => Some(Requirements::File(file)),
            (Some(_), Some(_)) => return Err("must have `requirements` or `requirements_file`, not both"),
        };
        match (self.virtual_environment, self.wheels, requirements) {
            (Some(folder), None, None) => Ok(EnvironmentSettings::VirtualEnvironment(folder)),
            (None, Some(folder), Some(requirements)) => Ok(EnvironmentSettings::Wheels { folder, requirements }),
            (None, Some(_), None) => Err("must have `requirements` or `requirements_file` beside `wheels`"),
            (None, None, _) => Err("must have a `virtual_environment` or `wheels`"),
            (Some(_), _, _) => Err("must have nothing beside `virtual_environment`, which is used as it is"),
        }
    }
}

impl Listed {
    fn into_lines(self) -> Vec<String> {
        match self {
            Self::List(lines) => lines,
            Self::Lines(text) => text.lines().map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(json: &str) -> Result<Vec<(String, EnvironmentSettings)>, String> {
        let environments = read(&mut serde_json::Deserializer::from_str(json)).map_err(|error| error.to_string())?;
        let environments = environments.into_iter();
        Ok(environments
            .map(|(name, settings)| (name.to_string(), settings))
            .collect())
    }

    #[test]
    fn an_environment_is_made_by_somebody_or_of_wheels() {
        let json = r#"{
            "a": {"virtual_environment": "/opt/a"},
            "b": {"wheels": "/opt/b", "requirements": ["one==1", "two>=1,<3"]},
            "c": {"wheels": "/opt/c", "requirements": "one==1\ntwo"},
            "d": {"wheels": "/opt/d", "requirements_file": "/opt/d/requirements.txt"}
        }"#;
        let wheels = |folder: &str, requirements| EnvironmentSettings::Wheels {
            folder: PathBuf::from(folder),
            requirements,
        };
        let listed = |lines: [&str; 2]| Requirements::Listed(lines.map(str::to_owned).into());
        let expected = [
            ("a", EnvironmentSettings::VirtualEnvironment(PathBuf::from("/opt/a"))),
            ("b", wheels("/opt/b", listed(["one==1", "two>=1,<3"]))),
            ("c", wheels("/opt/c", listed(["one==1", "two"]))),
            (
                "d",
                wheels("/opt/d", Requirements::File(PathBuf::from("/opt/d/requirements.txt"))),
            ),
        ];
        let expected = expected.map(|(name, settings)| (name.to_owned(), settings)).to_vec();
        assert_eq!(read_json(json), Ok(expected));
    }

    #[test]
    fn what_is_neither_or_both_is_refused_with_its_name() {
        for (entry, expected) in [
            ("{}", "must have a `virtual_environment` or `wheels`"),
            (r#"{"requirements": ["one"]}"#, "must have a `virtual_environment`"),
            (r#"{"wheels": "/opt/a"}"#, "must have `requirements` or"),
            (
                r#"{"virtual_environment": "/opt/a", "wheels": "/opt/b", "requirements": ["one"]}"#,
                "must have nothing beside",
            ),
            (
                r#"{"wheels": "/opt/a", "requirements": ["one"], "requirements_file": "/opt/b"}"#,
                "not both",
            ),
            (r#"{"venv": "/opt/a"}"#, "unknown field `venv`"),
        ] {
            let told = read_json(&format!(r#"{{"reports": {entry}}}"#)).expect_err("refused");
            assert!(told.contains(expected), "{entry}: {told}");
        }
        let told = read_json(r#"{"a b": {"virtual_environment": "/opt/a"}}"#).expect_err("no name");
        assert!(told.contains("worker.environments.\"a b\" must match"), "{told}");
    }
}
