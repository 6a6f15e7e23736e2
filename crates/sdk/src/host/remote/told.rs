//! What a handler tells while it runs.

use orchestratum_core::Lines;
use orchestratum_core::task::Progress;
use orchestratum_engine::external::LOG_MAX_BYTES;
use parking_lot::Mutex;
use serde::Serialize;

use crate::handler::Tell;

/// Its progress goes with the heartbeats, and both with the report.
#[derive(Debug)]
pub(super) struct Told(Mutex<Words>);

#[derive(Debug)]
struct Words {
    log: Lines,
    progress: Option<Progress>,
}

/// What was told, beside a report.
#[derive(Debug, Default, Serialize)]
pub(super) struct Beside {
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    log: String,
}

impl Default for Told {
    fn default() -> Self {
        Self(Mutex::new(Words {
            log: Lines::up_to(LOG_MAX_BYTES),
            progress: None,
        }))
    }
}

impl Told {
    pub(super) fn progress(&self) -> Option<Progress> {
        self.0.lock().progress
    }

    pub(super) fn is_empty(&self) -> bool {
        let words = self.0.lock();
        words.progress.is_none() && words.log.is_empty()
    }

    /// What a report brings of it.
    pub(super) fn beside(&self) -> Beside {
        let words = self.0.lock();
        Beside {
            progress: words.progress.map(Progress::share),
            log: words.log.as_str().to_owned(),
        }
    }
}

impl Tell for Told {
    fn progress(&self, progress: Progress) {
        self.0.lock().progress = Some(progress);
    }

    fn log(&self, line: &str) {
        self.0.lock().log.add(line);
    }
}
