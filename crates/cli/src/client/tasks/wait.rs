//! Waiting for the end of a task, and telling it by the exit status.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::super::http::Http;
use crate::output;

/// The exit status when the task ended, and not as `Completed`.
pub(in crate::client) const UNSUCCESSFUL: u8 = 3;
/// The exit status when the wait was over before the task.
pub(in crate::client) const NOT_OVER: u8 = 4;

pub(super) const EXIT_STATUS: &str = "Exit status with --wait: 0 if the task is Completed; 3 if it is Failed, Expired or \
    Cancelled; 4 if it is not over when the wait ends. Always: 1 for any other failure, 2 for a wrong command line.";

/// The longest wait of one request. The api may allow less: then there are more requests.
pub(in crate::client) const AT_ONCE: Duration = Duration::from_secs(50);

/// Shows a task when it is over, or when there is no patience left.
pub(super) async fn until_over(http: &Http, id: &str, patience: Duration) -> anyhow::Result<ExitCode> {
    let task = ask(http, id, patience).await?;
    output::json(&task)?;
    Ok(ExitCode::from(match task["status"].as_str() {
        Some("Completed") => 0,
        Some("Pending" | "InProgress") => NOT_OVER,
        _ => UNSUCCESSFUL,
    }))
}

async fn ask(http: &Http, id: &str, patience: Duration) -> anyhow::Result<Value> {
    let started = Instant::now();
    loop {
        let left = patience.saturating_sub(started.elapsed());
        let wait = left.min(AT_ONCE).as_secs_f64().to_string();
        let call = http.get(&["tasks", id]).query(&[("wait_seconds".to_owned(), wait)]);
        let task = call.json().await?;
        let is_over = !matches!(task["status"].as_str(), Some("Pending" | "InProgress"));
        if is_over || left.is_zero() {
            return Ok(task);
        }
    }
}
