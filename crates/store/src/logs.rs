//! What attempts write to standard output and standard error, and how far they say they are.
//!
//! The worker of a running attempt appends chunks; the report that ends the attempt brings what is left, in the same
//! transaction. So the chunks of an attempt appear in the order of their numbers, none appears after the attempt is over,
//! and whoever remembers the last one it has read misses nothing and reads nothing twice.

use async_trait::async_trait;
use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, Progress, TaskStatus};

use crate::{Error, LOG_CHUNK_BYTES};

/// Standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogStream {
    Stdout = 0,
    Stderr = 1,
}

impl LogStream {
    pub(crate) const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Stdout),
            1 => Some(Self::Stderr),
            _ => None,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A part of what an attempt wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    pub stream: LogStream,
    /// The place among all that the attempt wrote, from 0, over both streams.
    pub sequence: u32,
    pub text: String,
}

/// A log chunk with the attempt it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLogChunk {
    pub attempt: u32,
    pub chunk: LogChunk,
}

/// What the attempts of a task wrote, in the order of the attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskLogs {
    pub chunks: Vec<StoredLogChunk>,
    /// Earlier attempts wrote as well, more than fits [`PAGE_BYTES`](crate::PAGE_BYTES): ask for each.
    pub earlier_left_out: bool,
}

/// What one attempt tells that still runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogAppend {
    pub task: TaskId,
    /// The fence: it must be the attempt that runs.
    pub attempt: u32,
    pub chunks: Vec<LogChunk>,
    /// In place of what it told before.
    pub progress: Option<Progress>,
}

/// The first chunk that was not read yet: this one, or the next after it that there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    pub attempt: u32,
    pub sequence: u32,
}

/// Asks what a task wrote from a position on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogsFrom {
    pub task: TaskId,
    pub from: LogPosition,
    /// Nothing of later attempts; `None` for all there will be.
    pub last_attempt: Option<u32>,
}

/// What a task wrote from a position on, and how it stands: both at the same moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLogs {
    pub status: TaskStatus,
    /// The number of the newest attempt.
    pub newest_attempt: u32,
    /// How the last of the attempts that are asked for ended, if it has.
    pub outcome: Option<AttemptOutcome>,
    pub chunks: Vec<StoredLogChunk>,
    /// There is more than these.
    pub more: bool,
}

#[async_trait]
pub trait LogStore: Send + Sync {
    /// Appends what running attempts wrote, and keeps how far they are: the answer names those that still run, of which all
    /// was stored. Of the others nothing was, as somebody else has ended them. A crash before the answer leaves some, or
    /// none; the same chunks again are no others. The version of a task stays as it is.
    async fn append_logs(&self, appends: &[LogAppend]) -> Result<Vec<(TaskId, u32)>, Error>;

    async fn logs(&self, task: TaskId, attempt: Option<u32>, stream: Option<LogStream>) -> Result<TaskLogs, Error>;

    /// One answer a question, in order; `None` if the task does not exist. An answer has at most
    /// [`NEW_LOGS_BYTES`](crate::NEW_LOGS_BYTES), but for a first chunk that is larger.
    async fn new_logs(&self, asked: &[LogsFrom]) -> Result<Vec<Option<NewLogs>>, Error>;
}

/// The text in parts as large as a chunk may be, between characters.
pub fn log_pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(LOG_CHUNK_BYTES));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(LOG_CHUNK_BYTES);
        let text = format!("a{text}");
        let parts: Vec<&str> = log_pieces(&text).collect();
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.len() <= LOG_CHUNK_BYTES));
        assert_eq!(parts.concat(), text);
        assert_eq!(log_pieces("").count(), 0);
    }
}
