//! What a handler tells while it runs.

use orchestratum_core::Lines;
use orchestratum_core::task::Progress;
use orchestratum_engine::external::LOG_MAX_BYTES;
use parking_lot::Mutex;
use serde_json::Value;

use crate::handler::Tell;

/// Its progress goes with the heartbeats, and both with the report.
#[derive(Debug)]
pub(super) struct Told(Mutex<Words>);

#[derive(Debug)]
struct Words {
    log: Lines,
    progress: Option<Progress>,
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

    /// Adds it to a report.
    pub(super) fn add_to(&self, report: &mut Value) {
        let words = self.0.lock();
        if let Some(progress) = words.progress {
            report["progress"] = progress.share().into();
        }
        if !words.log.is_empty() {
            report["log"] = words.log.as_str().into();
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
