//! When a task can be seen as done in the database, by someone else.
//!
//! The times in the rows are written by whoever writes the row, before its commit, so they say nothing about when the row
//! can be seen. This looks from a connection of its own, over and over while something is outstanding, at the rows of both
//! systems in the same way.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::machine::wall_clock_micros;

/// Shorter than what it is to resolve, and long enough to leave the cores to those it watches.
const PAUSE: Duration = Duration::from_micros(300);

#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) id: Uuid,
    pub(super) micros: i64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) sent: Sent,
    pub(super) micros: i64,
}

/// Until the senders are gone and everything was seen. `visible` picks those of the ids that are done.
pub(super) async fn observe<F>(mut sent: UnboundedReceiver<Sent>, mut visible: F) -> Result<Vec<Seen>>
where
    F: AsyncFnMut(&[Uuid]) -> Result<Vec<Uuid>>,
{
    let mut outstanding: Vec<Sent> = Vec::new();
    let mut seen = Vec::new();
    loop {
        if outstanding.is_empty() {
            match sent.recv().await {
                Some(task) => outstanding.push(task),
                None => return Ok(seen),
            }
        }
        while let Ok(task) = sent.try_recv() {
            outstanding.push(task);
        }
        let ids: Vec<Uuid> = outstanding.iter().map(|task| task.id).collect();
        let done = visible(&ids).await?;
        let micros = wall_clock_micros();
        outstanding.retain(|task| {
            let is_done = done.contains(&task.id);
            if is_done {
                seen.push(Seen { sent: *task, micros });
            }
            !is_done
        });
        // The timer of the runtime counts in milliseconds.
        spawn_blocking(|| std::thread::sleep(PAUSE))
            .await
            .context("cannot pause")?;
    }
}
