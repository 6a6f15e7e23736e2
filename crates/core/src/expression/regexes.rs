//! Regular expressions, compiled once.
//!
//! They are compiled when the expression around them is, which is when a task is created and again when it has ended: rows are
//! locked then. So each of them is small, an expression and a task have few, and what was compiled is kept.
//!
//! To match takes at the worst as long as the text times the expression: where a text makes it meet new states all the time, the
//! crate goes through the states one by one. That is what is paid for, also where it would be faster.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};

/// How large a compiled one may be, and what it takes to match: enough for one class of Unicode
/// or a hundred of ASCII.
const COMPILED_MAX_BYTES: usize = 64 << 10;

/// They are written down in expressions, so that a process meets the same ones again and again. With what each takes to match,
/// they are some tens of megabytes at most.
const KEPT: usize = 256;

const TOO_LARGE: &str =
    "the regular expression is too large; \\w and other classes of Unicode are most of it, [A-Za-z0-9_] is small";

/// How many states are looked at for a byte of text in a step of 0.1 µs (seen: 4 ns each).
const STATES_A_STEP: usize = 24;

static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Compiled>>>> = LazyLock::new(Mutex::default);

#[derive(Debug)]
pub(super) struct Compiled {
    regex: Regex,
    states: usize,
}

impl Compiled {
    /// What it takes to match a text of so many bytes.
    pub(super) const fn steps(&self, bytes: usize) -> usize {
        10 + bytes.saturating_mul(self.states) / STATES_A_STEP
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// # Errors
/// If it is none, or is too large.
pub(super) fn compiled(pattern: &str) -> Result<Arc<Compiled>, &'static str> {
    let kept = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept().get(pattern) {
        return Ok(Arc::clone(known));
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
    let states = states(pattern).ok_or(TOO_LARGE)?;
    let new = Arc::new(Compiled { regex, states });
    let mut kept = kept();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(pattern.to_owned(), Arc::clone(&new));
    Ok(new)
}

/// Whether a text is a regular expression, and a small one.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_regex(pattern: &str) -> Result<(), &'static str> {
    compiled(pattern).map(drop)
}

/// How many states a regular expression of ECMA has, whose `\w` and `\d` are of ASCII: each byte of a text may look at all of them.
/// `None` for what is refused.
pub fn pattern_states(pattern: &str) -> Option<usize> {
    Some(compiled(&ascii_classes(pattern)).ok()?.states)
}

fn ascii_classes(pattern: &str) -> String {
    let mut ascii = String::with_capacity(pattern.len());
    let mut is_in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let class = match character {
            '\\' => match characters.next() {
                Some('w') => "0-9A-Za-z_",
                Some('d') => "0-9",
                escaped => {
                    ascii.push('\\');
                    ascii.extend(escaped);
                    continue;
                }
            },
            '[' | ']' => {
                is_in_class = character == '[';
                ascii.push(character);
                continue;
            }
            _ => {
                ascii.push(character);
                continue;
            }
        };
        if is_in_class {
            ascii.push_str(class);
        } else {
            ascii.extend(["[", class, "]"]);
        }
    }
    ascii
}

/// How many states it has that are looked at one by one.
fn states(pattern: &str) -> Option<usize> {
    let config = thompson::Config::new()
        .nfa_size_limit(Some(COMPILED_MAX_BYTES))
        .which_captures(WhichCaptures::None);
    let compiled = NFA::compiler().configure(config).build(pattern);
    Some(compiled.ok()?.states().len())
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
        let first = compiled("^kept$").expect("small");
        // Tests beside this one may let it be forgotten now and then.
        assert!((0..100).any(|_| Arc::ptr_eq(&first, &compiled("^kept$").expect("small"))));
        for number in 0..2 * KEPT {
            compiled(&format!("^{number}$")).expect("small");
        }
        let kept = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(kept.len() <= KEPT);
    }

    #[test]
    fn classes_of_ecma_are_those_of_ascii() {
        for (pattern, ascii) in [
            (r"^\w+$", "^[0-9A-Za-z_]+$"),
            (r"[\w.-]\d\\w\[\w", r"[0-9A-Za-z_.-][0-9]\\w\[[0-9A-Za-z_]"),
            ("^a+$", "^a+$"),
            ("\\", "\\"),
        ] {
            assert_eq!(ascii_classes(pattern), ascii);
        }
        assert!(pattern_states(r"^\w+$").is_some_and(|states| states < 10));
        assert_eq!(pattern_states("("), None);
    }

    #[test]
    fn what_may_go_through_all_states_for_each_byte_pays_for_all_of_them() {
        let steps = |pattern: &str, bytes| compiled(pattern).expect("small").steps(bytes);
        let large = steps("a[ab]{900}[cd]", 1_000_000);
        assert!(large > 30_000_000, "{large}: it was seen to take 3.9 s");
        let date = steps(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", 10);
        assert!(date < 50, "{date}");
        let word = steps(r"^\w+$", 1_000);
        assert!(word < 50_000, "{word}");
    }
}
