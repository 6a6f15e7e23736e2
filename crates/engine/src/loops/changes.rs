//! Reads what was noticed for those who follow changes.

use std::time::Duration;

use orchestratum_broker::Signal;
use orchestratum_core::{SagaId, TaskId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sleep_unless_stopped;
use crate::changes::What;
use crate::{Engine, Error, error};

/// How long changes gather before they are read.
const BREATH: Duration = Duration::from_millis(50);

/// How often other processes are asked to tell what nobody else needs to know; a few times as often as they forget it.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The most rows of one statement.
const READ_AT_ONCE: usize = 1_000;

pub(super) async fn run(engine: Engine, stop: CancellationToken) {
    let changes = &engine.parts.live_changes;
    let mut ask_at = Instant::now();
    loop {
        let is_open = changes.look();
        if is_open && Instant::now() >= ask_at {
            ask_at = Instant::now() + ASK_EVERY;
            engine.parts.signals.send(Signal::Watched);
            changes.asked();
        }
        if is_open {
            if !sleep_unless_stopped(BREATH, &stop).await {
                return;
            }
            if let Err(error) = read(&engine).await {
                tracing::debug!(error = %error::chain(&error), "those who follow changes have missed some");
                changes.lost();
            }
            continue;
        }
        tokio::select! {
            () = changes.woken() => ask_at = Instant::now(),
            // Others listen: it is to be seen when they no longer do.
            () = tokio::time::sleep(ASK_EVERY), if changes.is_watched() => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn read(engine: &Engine) -> Result<(), Error> {
    let noticed = engine.parts.live_changes.take_noticed();
    let tasks: Vec<TaskId> = noticed.tasks.into_iter().collect();
    for tasks in tasks.chunks(READ_AT_ONCE) {
        let read = engine.parts.store.task_overviews(tasks).await?;
        engine.parts.live_changes.tell(read.into_iter().map(What::Task));
    }
    let sagas: Vec<SagaId> = noticed.sagas.into_iter().collect();
    for sagas in sagas.chunks(READ_AT_ONCE) {
        let read = engine.parts.store.saga_overviews(sagas).await?;
        engine.parts.live_changes.tell(read.into_iter().map(What::Saga));
    }
    Ok(())
}
