//! What travels: hints that a task is ready, and signals to whoever listens.

use orchestratum_core::{Target, TaskId, TaskName};
use serde::{Deserialize, Serialize};

/// A task is ready for a worker of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    pub task: TaskId,
    pub target: Target,
    /// So that a worker knows, before it claims, which of its lanes the task would run in.
    pub name: TaskName,
}

/// Something every process may want to know. It may get lost: each of these is also found by asking the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Signal {
    /// These tasks are over: answers that wait for them can be given.
    Finished { tasks: Vec<TaskId> },
    /// A caller wants these running tasks stopped, or changed their deadline: their worker should ask at once.
    Changed { tasks: Vec<TaskId> },
    /// Targets have new ready tasks (only without a broker; otherwise the messages say it).
    Ready { targets: Vec<Target> },
}
