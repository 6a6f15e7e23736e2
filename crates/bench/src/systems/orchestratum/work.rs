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
    /// A no-op that a worker outside runs.
    Outside,
    /// A chain of no-ops.
    Chain,
    /// The smallest program.
    Python,
    /// Processes that start processes until they are stopped; where no more are granted, they go on trying.
    ForkBomb,
    /// Writes to standard output as fast as it can until it is stopped.
    OutputFlood,
}

impl Work {
    pub(crate) fn body(self) -> Value {
        match self {
            Self::Echo => json!({"name": "echo", "input": {"number": 1}}),
            Self::EchoKibibyte => json!({"name": "echo", "input": {"text": "x".repeat(1024)}}),
            Self::Outside => json!({"name": OUTSIDE_NAME, "input": {"number": 1}}),
            Self::Chain => chain(),
            Self::Python => json!({"name": "python", "input": {"code": "def main(input): return 1"}}),
            Self::ForkBomb => json!({"name": "python", "input": {"code": FORK_BOMB}}),
            Self::OutputFlood => json!({"name": "shell", "input": {"command": "yes"}}),
        }
    }

    /// The body of `POST /api/tasks`.
    pub(crate) fn request(self) -> Result<Bytes> {
        Ok(serde_json::to_vec(&self.body())?.into())
    }
}

/// What a worker outside offers: the names of the built-in tasks are for workers of our own.
pub(crate) const OUTSIDE_NAME: &str = "bench.outside";

/// How many tasks a chain has.
pub(crate) const CHAIN_LINKS: u32 = 10;

fn chain() -> Value {
    (1..CHAIN_LINKS).fold(Work::Echo.body(), |next, _| {
        let mut link = Work::Echo.body();
        link["on_success"] = json!([next]);
        link
    })
}

const FORK_BOMB: &str = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass";

/// The body of `POST /api/tasks/batch`.
pub(crate) fn batch(tasks: &[Value]) -> Result<Bytes> {
    Ok(serde_json::to_vec(&json!({ "tasks": tasks }))?.into())
}
