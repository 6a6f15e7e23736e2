//! What a handler tells while it runs: lines for the log of its task, and how far it is.
//!
//! Most tell nothing, and that costs nothing: only the first word puts the attempt among those that `live_logs` looks at.

use std::sync::{Arc, OnceLock};

use orchestratum_core::Lines;
use orchestratum_core::task::Progress;
use orchestratum_store::LogChunk;
use parking_lot::Mutex;

use crate::executors::Context;
use crate::held::Key;
use crate::live_logs::{LiveLogs, Watched};

#[derive(Debug)]
pub(crate) struct Telling {
    logs: Arc<LiveLogs>,
    key: Key,
    told: Arc<Told>,
    watched: OnceLock<Mutex<Option<Watched>>>,
}

/// What was told and not taken yet.
#[derive(Debug)]
pub(crate) struct Told(Mutex<Words>);

#[derive(Debug)]
struct Words {
    log: Lines,
    progress: Option<Progress>,
    over: bool,
}

impl Telling {
    pub(crate) fn new(context: &Context, log_max_bytes: usize) -> Self {
        let words = Words {
            log: Lines::up_to(log_max_bytes),
            progress: None,
            over: false,
        };
        Self {
            logs: Arc::clone(&context.live_logs),
            key: context.key,
            told: Arc::new(Told(Mutex::new(words))),
            watched: OnceLock::new(),
        }
    }

    pub(crate) fn line(&self, line: &str) {
        self.tell(|words| words.log.add(line));
    }

    pub(crate) fn progress(&self, progress: Progress) {
        self.tell(|words| words.progress = Some(progress));
    }

    /// A handler may have left something running that still tells: it is heard no more once the attempt is over.
    fn tell(&self, word: impl FnOnce(&mut Words)) {
        {
            let mut words = self.told.0.lock();
            if words.over {
                return;
            }
            word(&mut words);
        }
        self.watched
            .get_or_init(|| Mutex::new(Some(self.logs.watch_handler(self.key, Arc::clone(&self.told)))));
    }

    /// What the report has to bring.
    pub(crate) fn rest(&self) -> (Vec<LogChunk>, Option<Progress>) {
        self.told.0.lock().over = true;
        let watched = self.watched.get().and_then(|watched| watched.lock().take());
        let Some(watched) = watched else {
            return (Vec::new(), None);
        };
        let progress = watched.progress();
        (watched.rest_of_handler(&self.told), progress)
    }
}

impl Told {
    /// At most so many bytes, in whole characters.
    pub(crate) fn take(&self, most: usize) -> String {
        self.0.lock().log.take(most)
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        self.0.lock().progress
    }
}
