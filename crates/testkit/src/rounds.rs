//! How often a test repeats what it does.

use std::io::Write;

/// The numbers of the rounds: `few` in a test run, `many` in a soak (`ORCHESTRATUM_SOAK`), which says how far it is.
pub fn rounds(what: &'static str, few: usize, many: usize) -> impl Iterator<Item = usize> {
    let soak = std::env::var_os("ORCHESTRATUM_SOAK").is_some();
    let count = if soak { many } else { few };
    (0..count).inspect(move |round| {
        if soak {
            // Past the harness, which keeps what a test prints until it ends.
            let _ = writeln!(std::io::stderr().lock(), "{what}: round {} of {count}", round + 1);
        }
    })
}
