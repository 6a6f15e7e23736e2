//! Whether an interpreter works where tasks have it: behind the walls, with the limits of a task that asks for none.

use std::time::Duration;

use orchestratum_engine::error::chain;
use orchestratum_sandbox::{Error, Finished, Running};
use tokio::time::timeout;

use super::program;

/// How long doing nothing may take, on a machine that has just started.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a program that was to do nothing.
///
/// # Errors
/// What it did instead, in words.
pub(super) async fn ended(started: Result<Running, Error>) -> Result<Finished, String> {
    let mut running = started.map_err(|error| chain(&error))?;
    let finished = match timeout(PATIENCE, running.wait()).await {
        Ok(finished) => finished.map_err(|error| chain(&error))?,
        Err(_) => return Err(format!("it did nothing for longer than {} s", PATIENCE.as_secs())),
    };
    if finished.exit.is_success() {
        Ok(finished)
    } else {
        Err(program::message(&finished))
    }
}
