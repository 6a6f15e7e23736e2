//! Sagas with what belongs to them and stands elsewhere: their live tasks and children, what they ask for, and what is due.

use std::collections::HashMap;

use orchestratum_core::saga::{AwaitInput, Expiry, Phase, TimerKind};
use orchestratum_core::{SagaId, Timestamp};
use orchestratum_store::{LiveChild, LiveSagaTask, PendingTimer, Saga};

use crate::{Engine, Error};

/// How many live tasks of one saga are told of.
const TASKS_TOLD_MAX: usize = 100;

/// How many of its live children.
const CHILDREN_TOLD_MAX: usize = 100;

/// How many of its timers.
const TIMERS_TOLD_MAX: usize = 100;

/// A saga as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct SagaDetails {
    pub saga: Saga,
    /// What it asks somebody for.
    pub awaiting: Option<AwaitInput>,
    /// Its tasks that are not over; of very many, the first hundred.
    pub tasks: Vec<LiveSagaTask>,
    /// Its child sagas that are not over; of very many, the first hundred.
    pub children: Vec<LiveChild>,
    /// What will happen to it by itself, in that order; of very much, the first hundred. `None` where nobody asked for it.
    pub timers: Option<Vec<DueTimer>>,
}

/// A timer, and what it will do.
#[derive(Debug, Clone, PartialEq)]
pub struct DueTimer {
    pub kind: TimerKind,
    pub due_at: Timestamp,
    pub does: Expiry,
}

impl Engine {
    /// One saga, with what is due: that is read for whoever looks at it, not for each that is told of it after a change.
    pub async fn saga_in_full(&self, saga: Saga) -> Result<SagaDetails, Error> {
        let timers = self.due_timers(&saga).await?;
        let mut details = self.saga_details(vec![saga]).await?;
        Ok(SagaDetails {
            timers: Some(timers),
            ..details.pop().expect("one for each")
        })
    }

    async fn due_timers(&self, saga: &Saga) -> Result<Vec<DueTimer>, Error> {
        if saga.instance.status().is_over() {
            return Ok(Vec::new());
        }
        let pending = self.parts.store.saga_timers(saga.id, TIMERS_TOLD_MAX).await?;
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let definition = self.running_definition(saga).await?;
        let due = pending.into_iter().filter_map(|PendingTimer { timer, due_at }| {
            let kind = timer.kind();
            let does = definition.definition().expiry(&saga.instance, timer)?;
            Some(DueTimer { kind, due_at, does })
        });
        Ok(due.collect())
    }

    /// Their tasks and children are read for all of them together.
    pub async fn saga_details(&self, sagas: Vec<Saga>) -> Result<Vec<SagaDetails>, Error> {
        let mut tasks: HashMap<SagaId, Vec<LiveSagaTask>> = HashMap::new();
        for task in self.live_saga_tasks(&sagas).await? {
            tasks.entry(task.saga).or_default().push(task);
        }
        let mut children: HashMap<SagaId, Vec<LiveChild>> = HashMap::new();
        for child in self.live_children(&sagas, &tasks).await? {
            children.entry(child.parent).or_default().push(child);
        }
        let mut details = Vec::with_capacity(sagas.len());
        for saga in sagas {
            let awaiting = self.awaiting(&saga).await?;
            if awaiting.is_some() {
                // Each prompt takes a moment.
                tokio::task::yield_now().await;
            }
            let tasks = tasks.remove(&saga.id).unwrap_or_default();
            let children = children.remove(&saga.id).unwrap_or_default();
            details.push(SagaDetails {
                saga,
                awaiting,
                tasks,
                children,
                timers: None,
            });
        }
        Ok(details)
    }

    async fn live_saga_tasks(&self, sagas: &[Saga]) -> Result<Vec<LiveSagaTask>, Error> {
        let may_have_some =
            |saga: &&Saga| !saga.instance.live.is_empty() || matches!(saga.instance.phase, Phase::Undoing { .. });
        let asked: Vec<_> = sagas.iter().filter(may_have_some).map(|saga| saga.id).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.parts.store.live_saga_tasks(&asked, TASKS_TOLD_MAX).await?)
    }

    /// Most sagas wait for tasks alone: where these are all that is live, nobody looks for children.
    async fn live_children(
        &self,
        sagas: &[Saga],
        tasks: &HashMap<SagaId, Vec<LiveSagaTask>>,
    ) -> Result<Vec<LiveChild>, Error> {
        let may_have_some = |saga: &&Saga| {
            let tasks = tasks.get(&saga.id).into_iter().flatten();
            saga.instance.live.len() > tasks.filter(|task| !task.undoes).count()
        };
        let asked: Vec<_> = sagas.iter().filter(may_have_some).map(|saga| saga.id).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.parts.store.live_children(&asked, CHILDREN_TOLD_MAX).await?)
    }
}
