//! What is wrong at the moment, for `/health/ready`.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// The newest error of each part that does not work now. A part clears its error only when it really works again: a
/// consumer when it consumes, not when it has a connection.
#[derive(Debug, Default)]
pub(crate) struct Health {
    faults: Mutex<BTreeMap<String, String>>,
}

impl Health {
    pub(crate) fn broken(&self, part: &str, error: &(dyn std::error::Error + 'static)) {
        self.broken_because(part, describe(error));
    }

    pub(crate) fn broken_because(&self, part: &str, reason: String) {
        self.faults.lock().insert(part.to_owned(), reason);
    }

    pub(crate) fn works(&self, part: &str) {
        self.faults.lock().remove(part);
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let faults = self.faults.lock();
        if faults.is_empty() {
            return Ok(());
        }
        let parts: Vec<String> = faults
            .iter()
            .map(|(part, reason)| format!("{part}: {reason}"))
            .collect();
        Err(parts.join("; "))
    }
}

/// The error with all its causes.
pub(crate) fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
