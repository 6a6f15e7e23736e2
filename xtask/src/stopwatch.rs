//! Time, as the commands of the workspace need it: how long a step took, and waiting for a state within a bound.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a state that is waited for may go unseen after it came true.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "the ban protects the product; a step is timed by the real clock"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl fmt::Display for Stopwatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.1} s", self.elapsed().as_secs_f64())
    }
}

/// Looks again and again until `ready` answers true; an error of its own ends the wait at once.
pub(crate) fn wait_until(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let stopwatch = Stopwatch::start();
    while !ready()? {
        if stopwatch.elapsed() > limit {
            bail!("waited {} s in vain: {what}", limit.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
