//! The systems that are measured.

pub(crate) mod bubblewrap;
pub(crate) mod celery;
pub(crate) mod dbos;
pub(crate) mod dotnet;
pub(crate) mod interpreter;
pub(crate) mod orchestratum;
mod packages;
pub(crate) mod pgbench;
pub(crate) mod restate;
mod together;
pub(crate) mod warm_fork;

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

pub(crate) use self::together::Together;

/// The stretch of time in which a number of tasks was done, as the handlers and the database wrote it down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) tasks: u32,
    pub(crate) first_started_micros: i64,
    pub(crate) last_finished_micros: i64,
}

impl Stretch {
    pub(crate) fn tasks_per_second(self) -> f64 {
        let micros = (self.last_finished_micros - self.first_started_micros).max(1);
        f64::from(self.tasks) * 1_000_000.0 / micros as f64
    }
}

/// Asks until the answer is yes. The interval bounds what the asking itself costs the system.
pub(crate) async fn wait_for<F>(what: &str, limit: Duration, interval: Duration, mut ask: F) -> Result<()>
where
    F: AsyncFnMut() -> Result<bool>,
{
    let deadline = Instant::now() + limit;
    while !ask().await? {
        if Instant::now() >= deadline {
            bail!("{what}: not within {limit:?}");
        }
        sleep(interval).await;
    }
    Ok(())
}
