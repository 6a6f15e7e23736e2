//! The input of tasks that run code.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Set by the worker itself, or read by loaders and interpreters before the task's code is.
const RESERVED: &[&str] = &[
    "ORCHESTRATUM_",
    "LD_",
    "PYTHON",
    "BASH_",
    "DOTNET_",
    "COMPlus_",
    "GCONV_",
    "MALLOC_",
    "GLIBC_",
];
const RESERVED_NAMES: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "ENV",
    "IFS",
    "SHELLOPTS",
    "PS4",
    "LOCPATH",
    "NLSPATH",
];

/// How many arguments and variables there may be: the kernel's limit on their size comes on top.
const COUNT_MAX: usize = 1_000;

/// `null` stands for an absent field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PythonInput {
    pub(super) code: String,
    pub(super) input: Option<Box<RawValue>>,
    pub(super) args: Option<Vec<String>>,
    pub(super) stdin: Option<String>,
    pub(super) env: Option<BTreeMap<String, String>>,
    pub(super) network: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShellInput {
    pub(super) command: Option<String>,
    pub(super) script: Option<String>,
    pub(super) args: Option<Vec<String>>,
    pub(super) stdin: Option<String>,
    pub(super) env: Option<BTreeMap<String, String>>,
    pub(super) network: Option<bool>,
}

impl ShellInput {
    /// Exactly one of the two.
    pub(super) fn text(&self) -> Result<&str, String> {
        match (&self.command, &self.script) {
            (Some(text), None) | (None, Some(text)) => Ok(text),
            (None, None) => Err("the input has neither `command` nor `script`".to_owned()),
            (Some(_), Some(_)) => Err("the input has both `command` and `script`; give one of them".to_owned()),
        }
    }
}

/// Without isolation the network is there; whoever wants it gone relies on that.
pub(super) fn check_network(network: Option<bool>) -> Result<(), String> {
    if network == Some(false) {
        return Err("`network` is false, but this worker cannot take the network away yet".to_owned());
    }
    Ok(())
}

/// The arguments and variables of a program, checked.
pub(super) fn check(
    args: Option<Vec<String>>,
    env: Option<BTreeMap<String, String>>,
) -> Result<(Vec<String>, BTreeMap<String, String>), String> {
    let (args, env) = (args.unwrap_or_default(), env.unwrap_or_default());
    if args.len() > COUNT_MAX || env.len() > COUNT_MAX {
        return Err(format!("`args` and `env` may have at most {COUNT_MAX} entries each"));
    }
    if let Some(name) = env.keys().find(|name| !is_allowed(name)) {
        return Err(format!(
            "the variable `{name}` in `env` is not allowed: a name matches [A-Za-z_][A-Za-z0-9_]* and is none that the \
             worker sets or that changes how programs are loaded ({}, {}*)",
            RESERVED_NAMES.join(", "),
            RESERVED.join("*, ")
        ));
    }
    Ok((args, env))
}

fn is_allowed(name: &str) -> bool {
    let well_formed = !name.is_empty()
        && name.len() <= 100
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    well_formed && !RESERVED.iter().any(|prefix| name.starts_with(prefix)) && !RESERVED_NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_change_how_programs_are_loaded_are_refused() {
        for allowed in ["REGION", "_x", "http_proxy", "A1"] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in [
            "LD_PRELOAD",
            "PYTHONPATH",
            "PATH",
            "ORCHESTRATUM_TASK_ID",
            "",
            "1A",
            "A-B",
            "A=B",
            "Ä",
            "BASH_ENV",
        ] {
            assert!(!is_allowed(refused), "{refused}");
        }
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = serde_json::from_str::<PythonInput>(r#"{"code": "", "arg": []}"#).expect_err("misspelt");
        assert!(error.to_string().contains("`arg`"), "{error}");
    }

    #[test]
    fn a_shell_task_has_one_text() {
        let text = |json: &str| {
            serde_json::from_str::<ShellInput>(json)
                .expect("valid")
                .text()
                .map(str::to_owned)
        };
        assert_eq!(text(r#"{"command": "ls"}"#), Ok("ls".to_owned()));
        assert!(text("{}").is_err());
        assert!(text(r#"{"command": "ls", "script": "ls"}"#).is_err());
    }
}
