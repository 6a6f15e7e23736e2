//! Delayed tasks whose time has come become ready.

use orchestratum_broker::Hint;
use orchestratum_core::Timestamp;

use super::{PASS, Pass};
use crate::{Engine, Error};

pub(super) async fn tick(engine: &Engine, now: Timestamp) -> Result<Pass, Error> {
    let released = engine.parts.store.release_due(now, PASS).await?;
    let pass = Pass::of(released.len());
    engine.parts.announcer.announce(released.into_iter().map(|ready| Hint {
        task: ready.task,
        target: ready.target,
        name: ready.name,
    }));
    Ok(pass)
}
