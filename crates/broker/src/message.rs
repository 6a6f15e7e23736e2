//! What travels: hints that a task is ready, and signals to whoever listens.

use orchestratum_core::{SagaId, Target, TaskId, TaskName};
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
    /// These sagas changed.
    Sagas { sagas: Vec<SagaId> },
    /// These tasks were made, or claimed, or are ready again. Told only while somebody [watches](Self::Watched).
    Moved { tasks: Vec<TaskId> },
    /// Somebody follows changes.
    Watched,
}

impl Signal {
    /// The same said in several signals of at most `limit` ids each, so that each fits a transport.
    pub(crate) fn split(self, limit: usize) -> Vec<Self> {
        fn chunks<T: Clone>(items: &[T], limit: usize, signal: impl Fn(Vec<T>) -> Signal) -> Vec<Signal> {
            items.chunks(limit).map(|chunk| signal(chunk.to_vec())).collect()
        }
        match self {
            Self::Finished { tasks } => chunks(&tasks, limit, |tasks| Self::Finished { tasks }),
            Self::Changed { tasks } => chunks(&tasks, limit, |tasks| Self::Changed { tasks }),
            Self::Sagas { sagas } => chunks(&sagas, limit, |sagas| Self::Sagas { sagas }),
            Self::Moved { tasks } => chunks(&tasks, limit, |tasks| Self::Moved { tasks }),
            Self::Watched => vec![Self::Watched],
            Self::Ready { targets } => chunks(&targets, limit, |targets| Self::Ready { targets }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_signal_is_said_in_several_short_ones() {
        let tasks: Vec<TaskId> = (0..2_500_u128).map(|n| TaskId(uuid::Uuid::from_u128(n))).collect();
        let parts = Signal::Finished { tasks: tasks.clone() }.split(1_000);
        let mut said = Vec::new();
        for part in parts {
            let Signal::Finished { tasks } = part else {
                panic!("{part:?}");
            };
            assert!(tasks.len() <= 1_000);
            said.extend(tasks);
        }
        assert_eq!(said, tasks);
    }

    #[test]
    fn an_empty_signal_is_not_said() {
        assert_eq!(Signal::Changed { tasks: Vec::new() }.split(1_000), Vec::new());
    }
}
