//! How often a test repeats what it does.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

/// For how many seconds each test goes on: it makes a test run a soak.
const SECONDS: &str = "ORCHESTRATUM_SOAK_SECONDS";

/// The file to which each test adds a line about itself at its end.
const REPORT: &str = "ORCHESTRATUM_SOAK_REPORT";

/// Whether the tests go on for a while, as `cargo xtask soak` wants.
pub fn is_soak() -> bool {
    std::env::var_os(SECONDS).is_some()
}

/// The numbers of the rounds: `few` in a test run; in a soak also as many as its time allows, which says how far it is.
pub fn rounds(what: &'static str, few: usize) -> Rounds {
    let seconds = std::env::var(SECONDS).ok();
    let soak = seconds.map(|seconds| Soak {
        lasts: Duration::from_secs(seconds.parse().unwrap_or_else(|_| panic!("{SECONDS} is a number"))),
        report: std::env::var_os(REPORT).map(PathBuf::from),
    });
    Rounds {
        what,
        few,
        begun: 0,
        started: Instant::now(),
        over: false,
        soak,
    }
}

/// See [`rounds`].
#[derive(Debug)]
pub struct Rounds {
    what: &'static str,
    few: usize,
    begun: usize,
    started: Instant,
    /// The test went on until its time was over, and so did not fail in between.
    over: bool,
    soak: Option<Soak>,
}

#[derive(Debug)]
struct Soak {
    lasts: Duration,
    report: Option<PathBuf>,
}

impl Rounds {
    /// In a soak `least` at least, however long that takes.
    #[must_use]
    pub fn in_a_soak(mut self, least: usize) -> Self {
        if self.soak.is_some() {
            self.few = self.few.max(least);
        }
        self
    }
}

impl Iterator for Rounds {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let elapsed = self.started.elapsed();
        let goes_on = self.begun < self.few || self.soak.as_ref().is_some_and(|soak| elapsed < soak.lasts);
        if !goes_on {
            self.over = true;
            return None;
        }
        self.begun += 1;
        if self.soak.is_some() {
            // Past the harness, which keeps what a test prints until it ends.
            let _ = writeln!(
                std::io::stderr().lock(),
                "{}: round {} after {:.0} s",
                self.what,
                self.begun,
                elapsed.as_secs_f64()
            );
        }
        Some(self.begun - 1)
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        let Some(path) = self.soak.as_ref().and_then(|soak| soak.report.as_ref()) else {
            return;
        };
        let passed = self.over && !std::thread::panicking();
        let verdict = if passed { "" } else { ", and FAILED" };
        let seconds = self.started.elapsed().as_secs_f64();
        let line = format!("{}: {} rounds in {seconds:.0} s{verdict}\n", self.what, self.begun);
        // In one write: tests run at the same time.
        let _ = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
