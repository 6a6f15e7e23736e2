//! What the product is given to do.

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};

/// A kind of task.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// The no-op.
    Echo,
    /// The no-op with an input of 1 KiB.
    EchoKibibyte,
    /// The smallest program.
    Python,
}

impl Work {
    pub(crate) fn body(self) -> Value {
        match self {
            Self::Echo => json!({"name": "echo", "input": {"number": 1}}),
            Self::EchoKibibyte => json!({"name": "echo", "input": {"text": "x".repeat(1024)}}),
            Self::Python => json!({"name": "python", "input": {"code": "def main(input): return 1"}}),
        }
    }
}

/// The body of `POST /api/tasks/batch`.
pub(crate) fn batch(work: Work, count: usize) -> Result<Bytes> {
    let tasks = vec![work.body(); count];
    Ok(serde_json::to_vec(&json!({ "tasks": tasks }))?.into())
}
