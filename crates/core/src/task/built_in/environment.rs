//! The names of variables that a task may set.

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

const NAME_MAX_LENGTH: usize = 100;

pub(super) fn is_allowed(name: &str) -> bool {
    let well_formed = !name.is_empty()
        && name.len() <= NAME_MAX_LENGTH
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    well_formed && !RESERVED.iter().any(|prefix| name.starts_with(prefix)) && !RESERVED_NAMES.contains(&name)
}

pub(super) fn rule() -> String {
    format!(
        "is not allowed: a name matches [A-Za-z_][A-Za-z0-9_]*, has at most {NAME_MAX_LENGTH} bytes, and is none that the \
         worker sets or that changes how programs are loaded ({}, {}*)",
        RESERVED_NAMES.join(", "),
        RESERVED.join("*, ")
    )
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
}
