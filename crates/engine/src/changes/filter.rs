//! Which changes a follower wants to be told of.

use orchestratum_core::saga::{DefinitionName, SagaStatus, StateName};
use orchestratum_core::task::TaskStatus;
use orchestratum_core::{SagaId, Target, TaskName};

use super::ring::What;

/// All conditions of a kind must hold; `None` of a kind, and none of it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeFilter {
    pub tasks: Option<TaskChanges>,
    pub sagas: Option<SagaChanges>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskChanges {
    pub status: Option<TaskStatus>,
    pub name: Option<TaskName>,
    pub target: Option<Target>,
    /// Those that it issued.
    pub saga: Option<SagaId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SagaChanges {
    pub status: Option<SagaStatus>,
    pub definition: Option<DefinitionName>,
    pub state: Option<StateName>,
    pub correlation_id: Option<String>,
}

impl ChangeFilter {
    pub(super) fn admits(&self, what: &What) -> bool {
        fn holds<T: PartialEq>(wanted: Option<&T>, is: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        match what {
            What::Task(task) => self.tasks.as_ref().is_some_and(|wanted| {
                holds(wanted.status.as_ref(), &task.status)
                    && holds(wanted.name.as_ref(), &task.name)
                    && holds(wanted.target.as_ref(), &task.target)
                    && (wanted.saga.is_none() || wanted.saga == task.saga)
            }),
            What::Saga(saga) => self.sagas.as_ref().is_some_and(|wanted| {
                holds(wanted.status.as_ref(), &saga.status)
                    && holds(wanted.definition.as_ref(), &saga.definition)
                    && holds(wanted.state.as_ref(), &saga.state)
                    && holds(wanted.correlation_id.as_ref(), &saga.correlation_id)
            }),
        }
    }
}
