//! What a handler tells while it runs: lines for the log of its task, and how far it is.
//!
//! Most tell nothing, and that costs nothing: only the first word puts the attempt among those that `live_logs` looks at.

use std::sync::{Arc, OnceLock};

use orchestratum_core::task::Progress;
use orchestratum_store::LogChunk;
use parking_lot::Mutex;

use crate::executors::Context;
use crate::held::Key;
use crate::live_logs::{LiveLogs, Watched};

/// Said once, in place of what is too much.
const CUT: &str = "… the log is full: the rest was left out\n";

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
    text: String,
    bytes_left: usize,
    progress: Option<Progress>,
    over: bool,
}

impl Telling {
    pub(crate) fn new(context: &Context, log_max_bytes: usize) -> Self {
        let words = Words {
            text: String::new(),
            bytes_left: log_max_bytes,
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
        self.tell(|words| words.line(line));
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
        let mut words = self.0.lock();
        let end = words.text.floor_char_boundary(most);
        let rest = words.text.split_off(end);
        std::mem::replace(&mut words.text, rest)
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        self.0.lock().progress
    }
}

impl Words {
    fn line(&mut self, line: &str) {
        if self.bytes_left == 0 {
            return;
        }
        if line.len() < self.bytes_left {
            self.text.push_str(line);
            self.text.push('\n');
            self.bytes_left -= line.len() + 1;
        } else {
            self.text.push_str(CUT);
            self.bytes_left = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_full_says_so_once_and_takes_no_more() {
        let told = Told(Mutex::new(Words {
            text: String::new(),
            bytes_left: 10,
            progress: None,
            over: false,
        }));
        for line in ["first", "a long one", "x"] {
            told.0.lock().line(line);
        }
        assert_eq!(told.take(3), "fir");
        assert_eq!(told.take(1_000), format!("st\n{CUT}"));
        assert_eq!(told.take(1_000), "");
    }
}
