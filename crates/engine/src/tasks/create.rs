//! Creating tasks: one, or up to a thousand that stand or fall together.

use std::collections::{HashMap, HashSet};

use orchestratum_broker::Hint;
use orchestratum_core::task::{TaskDraft, TaskLife, TaskSpec, Violations};
use orchestratum_core::{Origin, TaskId, Timestamp};
use orchestratum_store::{Admission, Announce, CreateOutcome, CreateRequest, IdempotencyKey, NewTask, Task};

use crate::announce::hint;
use crate::{Engine, Error, journal, loops};

/// A request to create tasks.
#[derive(Debug, Clone)]
pub struct CreateTasks {
    pub drafts: Vec<TaskDraft>,
    /// An id the caller chose, with the SHA-256 of its request; only where a single task is created.
    pub chosen_id: Option<(TaskId, [u8; 32])>,
    pub idempotency: Option<IdempotencyKey>,
    /// Whether the pointers of violations begin with the index of the task, as in a batch.
    pub indexed: bool,
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CreatedTasks {
    Created(Vec<Task>),
    /// The idempotency key was used before, with the same body.
    Replayed(Replay),
    /// The task with the chosen id was created before, from the same body.
    Existing(Box<Task>),
    /// Some of them are unique and met tasks like them, which stand in their places.
    Met {
        tasks: Replay,
        met: Vec<TaskId>,
    },
}

/// The tasks of an earlier request, as they are now.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    pub tasks: Vec<Task>,
    /// Those that are too much for one answer ([`BATCH_BYTES`](orchestratum_store::BATCH_BYTES)), after those in `tasks`.
    /// What one request can create is never too much, but meanwhile the tasks may have got outputs.
    pub left_out: Vec<TaskId>,
}

impl Engine {
    /// Stores the tasks durably and announces those that are due.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every broken rule, [`Error::IdempotencyKeyReused`], [`Error::Gone`],
    /// [`Error::IdTaken`], or a failure of the database. Nothing is stored then.
    pub async fn create(&self, request: CreateTasks) -> Result<CreatedTasks, Error> {
        let now = self.parts.clock.now();
        let limits = self.parts.settings.tasks.limits();
        let mut violations = Violations::default();
        let mut tasks = Vec::with_capacity(request.drafts.len());
        let (chosen_id, request_hash) = request.chosen_id.unzip();
        for (index, draft) in request.drafts.into_iter().enumerate() {
            let prefix = if request.indexed {
                format!("/tasks/{index}")
            } else {
                String::new()
            };
            let id = chosen_id.unwrap_or_else(|| self.parts.clock.new_task_id());
            match draft.check(&prefix, id, &limits, now) {
                Ok((spec, life)) => {
                    tasks.push(NewTask {
                        spec,
                        life,
                        announce: Announce::ByFeeder,
                        request_hash,
                        origin: request.origin.clone(),
                    });
                }
                Err(broken) => violations.0.extend(broken.0),
            }
        }
        violations.into_result().map_err(Error::Invalid)?;
        self.store_new(tasks, request.idempotency).await
    }

    /// Stores tasks that meet every rule, and announces those that are due.
    pub(crate) async fn store_new(
        &self,
        mut tasks: Vec<NewTask>,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<CreatedTasks, Error> {
        let now = self.parts.clock.now();
        self.take_places(&mut tasks, now);
        let stored = CreateRequest { tasks, idempotency };
        let created: Vec<Task> = stored.tasks.iter().map(as_created).collect();
        let hints = hints(&stored.tasks);
        match self.parts.creations.submit(stored).await? {
            CreateOutcome::Created => {
                self.announce_created(hints, created.iter().map(|task| (&task.spec, &task.life)), now);
                Ok(CreatedTasks::Created(told(created)))
            }
            CreateOutcome::Admitted(admission) => {
                self.announce_created(hints, created.iter().map(|task| (&task.spec, &task.life)), now);
                self.admitted(created, admission).await
            }
            CreateOutcome::Replayed { ids } => self.replayed(&ids).await.map(CreatedTasks::Replayed),
            CreateOutcome::KeyReused => Err(Error::IdempotencyKeyReused),
            CreateOutcome::Exists { id } => Ok(CreatedTasks::Existing(Box::new(self.task(id).await?))),
            CreateOutcome::IdTaken { id } => Err(Error::IdTaken { task: id }),
        }
    }

    /// Lets this process announce those that will be ready, as far as there is room in the windows of their targets. Only for
    /// tasks that keep all rules: a request that breaks some must not use up the windows.
    pub(crate) fn take_places(&self, tasks: &mut [NewTask], now: Timestamp) {
        for task in tasks.iter_mut().filter(|task| is_ready(&task.spec, &task.life, now)) {
            task.announce = self.parts.announcer.reserve(&task.spec.target);
        }
    }

    /// Tells the queues of new tasks, and claims that wait here of all those that were ready as they were created.
    pub(crate) fn announce_created<'a>(
        &self,
        hints: Vec<Hint>,
        created: impl Iterator<Item = (&'a TaskSpec, &'a TaskLife)> + Clone,
        now: Timestamp,
    ) {
        self.moved(|| created.clone().map(|(spec, _)| spec.id));
        self.parts.announcer.announce(hints);
        let ready = created.filter(|(spec, life)| is_ready(spec, life, now));
        self.parts
            .pollers
            .all_ready(ready.map(|(spec, _)| (&spec.target, &spec.name)));
    }

    /// What became of tasks with conditions.
    async fn admitted(&self, tasks: Vec<Task>, admission: Admission) -> Result<CreatedTasks, Error> {
        let Admission { met, ready } = admission;
        let is_ready: HashSet<TaskId> = ready.iter().map(|ready| ready.task).collect();
        self.became_ready(ready.into_iter().map(hint).collect());
        // The first that waits for a start must not take longer than that.
        let waits = tasks.iter().filter(|task| !is_ready.contains(&task.spec.id));
        let rates = waits.filter_map(|task| task.spec.conditions.as_ref()?.rate.as_ref());
        if let Some(soon) = rates.map(|rate| rate.per() / rate.limit).min()
            && soon < loops::LOOK_EVERY
        {
            self.release_soon(soon);
        }
        if met.is_empty() {
            return Ok(CreatedTasks::Created(told(tasks)));
        }
        let met: HashMap<usize, TaskId> = met.into_iter().collect();
        let ids = tasks.iter().enumerate();
        let ids: Vec<TaskId> = ids
            .map(|(place, task)| met.get(&place).copied().unwrap_or(task.spec.id))
            .collect();
        let new = tasks.into_iter().enumerate();
        told(
            new.filter(|(place, _)| !met.contains_key(place))
                .map(|(_, task)| task)
                .collect(),
        );
        metrics::counter!("orchestratum_tasks_met_total").increment(met.len() as u64);
        let mut met: Vec<TaskId> = met.into_values().collect();
        met.sort_unstable();
        met.dedup();
        let mut wanted = ids.clone();
        wanted.sort_unstable();
        wanted.dedup();
        let read = self.parts.store.tasks(&wanted).await?;
        let read: HashMap<TaskId, Task> = read.into_iter().map(|task| (task.spec.id, task)).collect();
        wanted.retain(|id| !read.contains_key(id));
        let there = ids.iter().filter_map(|id| read.get(id).cloned()).collect();
        Ok(CreatedTasks::Met {
            tasks: Replay {
                tasks: there,
                left_out: wanted,
            },
            met,
        })
    }

    async fn replayed(&self, ids: &[TaskId]) -> Result<Replay, Error> {
        let tasks = self.parts.store.tasks(ids).await?;
        let read: HashSet<TaskId> = tasks.iter().map(|task| task.spec.id).collect();
        let left_out: Vec<TaskId> = ids.iter().copied().filter(|id| !read.contains(id)).collect();
        if !left_out.is_empty() {
            let there = self.parts.store.statuses(&left_out).await?;
            let there: HashSet<TaskId> = there.into_iter().map(|(id, _)| id).collect();
            if let Some(missing) = left_out.iter().find(|id| !there.contains(id)) {
                return Err(Error::Gone { task: *missing });
            }
        }
        Ok(Replay { tasks, left_out })
    }
}

/// The task as it was stored, without reading it back.
fn as_created(task: &NewTask) -> Task {
    Task {
        spec: task.spec.clone(),
        life: task.life.clone(),
        output: None,
        worker: None,
        started_at: None,
        progress: None,
    }
}

/// Whether it has to ask before it is ready.
fn asks(spec: &TaskSpec) -> bool {
    spec.conditions.as_ref().is_some_and(|conditions| conditions.gates())
}

/// Whether one with conditions is ready, the database says.
fn is_ready(spec: &TaskSpec, life: &TaskLife, now: Timestamp) -> bool {
    life.scheduled_at <= now && !asks(spec)
}

/// What this process has to announce.
pub(crate) fn hints(tasks: &[NewTask]) -> Vec<Hint> {
    let announced = tasks.iter().filter(|task| task.announce == Announce::ByCaller);
    let hints = announced.map(|task| Hint {
        task: task.spec.id,
        target: task.spec.target.clone(),
        name: task.spec.name.clone(),
    });
    hints.collect()
}

/// What was created is told and counted.
fn told(created: Vec<Task>) -> Vec<Task> {
    journal::created(&created);
    metrics::counter!("orchestratum_tasks_created_total").increment(created.len() as u64);
    created
}
