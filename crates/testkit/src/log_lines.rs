//! What a process logs, for tests of its lines. A process has one subscriber, so such tests are a program of their own, or
//! share theirs.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;
use tracing::Level;

/// The lines of this process, a JSON document each.
#[derive(Debug, Clone, Default)]
pub struct LogLines(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    /// Begins to keep them, at the level that the first caller wants.
    ///
    /// # Panics
    /// If something else logs in this process already.
    pub fn of_this_process(level: Level) -> &'static Self {
        static LINES: OnceLock<LogLines> = OnceLock::new();
        LINES.get_or_init(|| {
            let lines = Self::default();
            let writer = lines.clone();
            tracing_subscriber::fmt()
                .json()
                .flatten_event(true)
                .with_max_level(level)
                .with_writer(move || writer.clone())
                .init();
            lines
        })
    }

    pub fn text(&self) -> String {
        let bytes = self.0.lock().expect("no panic while writing").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    pub fn documents(&self) -> Vec<Value> {
        let text = self.text();
        let documents = text.lines().map(serde_json::from_str);
        documents.collect::<Result<_, _>>().expect("every line is JSON")
    }
}

impl io::Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while writing").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
