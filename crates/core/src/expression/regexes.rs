//! Regular expressions, compiled once.
//!
//! They are compiled when the expression around them is, which is when a task is created and again when it has ended: rows are
//! locked then. So each of them is small, an expression and a task have few, and what was compiled is kept.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};

/// How large a compiled one may be, and what it takes to match: enough for one class of Unicode
/// or a hundred of ASCII.
const COMPILED_MAX_BYTES: usize = 64 << 10;

/// They are written down in expressions, so that a process meets the same ones again and again. With what each takes to match,
/// they are some tens of megabytes at most.
const KEPT: usize = 256;

const TOO_LARGE: &str =
    "the regular expression is too large; \\w and other classes of Unicode are most of it, [A-Za-z0-9_] is small";

static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);

/// # Errors
/// If it is none, or is too large.
pub(super) fn compiled(pattern: &str) -> Result<Regex, &'static str> {
    let kept = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = kept().get(pattern) {
        return Ok(regex.clone());
    }
    let built = RegexBuilder::new(pattern)
        .size_limit(COMPILED_MAX_BYTES)
        .dfa_size_limit(COMPILED_MAX_BYTES)
        .build();
    let regex = built.map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            TOO_LARGE
        } else {
            "it is no regular expression of RE2's kind"
        }
    })?;
    let mut kept = kept();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_fits_and_what_takes_long_to_compile_does_not() {
        for pattern in [
            r"^\d{4}-\d{2}-\d{2}$",
            r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$",
            r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$",
            r"(?i)^(eu|us)-(west|east)-[1-9]$",
            r"^\w+$",
            r"^\p{Lu}\p{Ll}+$",
            r"^[a-z]\w*$",
            r"^(?-u:\w+@\w+\.\w+)$",
            &"a".repeat(1_000),
        ] {
            assert!(compiled(pattern).is_ok(), "{pattern}");
        }
        for pattern in [r"\w{20}", r"(\w{100}){100}", "[a-z]{3000}", "((a{100}){100}){100}"] {
            assert_eq!(compiled(pattern).map(drop), Err(TOO_LARGE), "{pattern}");
        }
        assert!(compiled("(").is_err());
    }

    #[test]
    fn one_that_is_kept_is_not_compiled_again_and_few_are_kept() {
        for number in 0..2 * KEPT {
            compiled(&format!("^{number}$")).expect("small");
        }
        let kept = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(kept.len() <= KEPT);
    }
}
