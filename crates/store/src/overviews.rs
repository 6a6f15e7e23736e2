//! How many tasks and sagas stand at once, without their texts: for those who follow changes, and for lists.

use async_trait::async_trait;
use orchestratum_core::saga::{DefinitionName, SagaStatus, StateName};
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{SagaId, Target, TaskId, TaskName};

use crate::Error;

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOverview {
    pub task: TaskId,
    pub name: TaskName,
    pub target: Target,
    pub status: TaskStatus,
    pub run: u32,
    pub attempt: u32,
    /// Of which it is a part.
    pub saga: Option<SagaId>,
    pub version: u32,
}

/// How a saga stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaOverview {
    pub saga: SagaId,
    pub definition: DefinitionName,
    pub correlation_id: String,
    pub status: SagaStatus,
    pub state: StateName,
    pub version: u64,
}

/// A task of a saga that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSagaTask {
    pub saga: SagaId,
    /// By which the saga knows it.
    pub number: u32,
    pub task: TaskId,
    pub name: TaskName,
    pub target: Target,
    pub status: TaskStatus,
    /// Whether it undoes something.
    pub undoes: bool,
}

/// A saga that another one has started and that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveChild {
    pub parent: SagaId,
    /// By which its parent knows it.
    pub number: u32,
    pub overview: SagaOverview,
}

#[async_trait]
pub trait OverviewStore: Send + Sync {
    /// Those of these that exist, in any order.
    async fn task_overviews(&self, tasks: &[TaskId]) -> Result<Vec<TaskOverview>, Error>;

    /// Those of these that exist, in any order.
    async fn saga_overviews(&self, sagas: &[SagaId]) -> Result<Vec<SagaOverview>, Error>;

    /// The first `most` of each of these sagas, by their numbers.
    async fn live_saga_tasks(&self, sagas: &[SagaId], most: usize) -> Result<Vec<LiveSagaTask>, Error>;

    /// The first `most` children of each of these sagas, by their numbers.
    async fn live_children(&self, sagas: &[SagaId], most: usize) -> Result<Vec<LiveChild>, Error>;
}
