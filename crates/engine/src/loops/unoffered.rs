//! Tasks of a name that no worker of their target offers do not wait for ever.

use std::time::Duration;

use orchestratum_core::Timestamp;
use orchestratum_core::task::TaskEvent;
use orchestratum_store::Change;

use super::{PASS, Pass};
use crate::{Engine, Error};

/// How long a name may be offered by nobody while workers serve the target: long enough for a rolling deploy.
const GRACE: Duration = Duration::from_secs(30);

pub(super) async fn tick(engine: &Engine, now: Timestamp) -> Result<Pass, Error> {
    let unoffered = engine.parts.store.unoffered(now - GRACE, now, PASS).await?;
    let changes = unoffered
        .into_iter()
        .map(|task| Change::new(task, TaskEvent::NameNotOffered))
        .collect();
    engine.sweep(changes).await
}
