//! What sagas that wait expect of GitLab is held against it, now and then: while somebody thinks, no step looks.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::sleep_unless_stopped;
use crate::gitlab::Told;
use crate::{Engine, error};

pub(super) async fn run(engine: Engine, stop: CancellationToken) {
    let seconds = engine.settings().gitlab.compare_seconds;
    if seconds == 0 || !engine.settings().gitlab.is_configured() {
        return;
    }
    let interval = Duration::from_secs(seconds.into());
    let mut told = Told::default();
    // An alert sees a zero and not a gap until the first look.
    metrics::gauge!("orchestratum_gitlab_sagas_overtaken").set(0);
    while sleep_unless_stopped(interval, &stop).await {
        let compared = tokio::select! {
            compared = engine.compare_waiting_sagas(&mut told) => compared,
            () = stop.cancelled() => return,
        };
        if let Err(error) = compared {
            tracing::warn!(error = %error::chain(&error), "sagas that wait could not be compared with GitLab");
        }
    }
}
