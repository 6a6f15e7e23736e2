//! How many tests passed and failed, read from what cargo prints.

use std::fmt;

/// Sums over test programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Takes a line of output; one that closes a test program is counted.
    pub(super) fn read_line(&mut self, line: &str) {
        let line = without_colors(line);
        let Some(result) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Tests failed, or some were left out.
#[derive(Debug)]
pub(super) struct TestsFailed {
    pub(super) counts: Counts,
    pub(super) reason: String,
}

impl fmt::Display for TestsFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for TestsFailed {}

/// A step that failed counts as at least one failure, so that the last line never says 0 after something went wrong.
pub(super) fn of_failure(error: &anyhow::Error) -> Counts {
    let mut counts = error
        .downcast_ref::<TestsFailed>()
        .map(|failed| failed.counts)
        .unwrap_or_default();
    counts.failed = counts.failed.max(1);
    counts
}

fn without_colors(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        plain + part.split_once('m').map_or("", |(_color, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_all_test_programs_are_summed() {
        let mut counts = Counts::default();
        counts
            .read_line("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        counts.read_line(
            "test result: \u{1b}[31mFAILED\u{1b}[m. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        );
        counts.read_line("test a_task_may_have_9_passed ... ok");
        assert_eq!(
            counts,
            Counts {
                passed: 7,
                failed: 2,
                ignored: 1
            }
        );
    }

    #[test]
    fn a_step_that_failed_without_a_failed_test_counts_as_one() {
        assert_eq!(of_failure(&anyhow::anyhow!("it does not compile")).failed, 1);
    }
}
