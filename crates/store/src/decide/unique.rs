//! New tasks that meet one like them.

use std::collections::{BTreeMap, HashMap};

use orchestratum_core::task::{TaskStatus, Unique};
use orchestratum_core::{TaskId, Timestamp};

use super::Decision;
use crate::{
    Admission, ChangeOutcome, CreateOutcome, CreateRequest, Followed, MissingCause, MissingFollowUp, NewTask, Ready,
};

/// The newest of the tasks that are alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) task: TaskId,
    pub(crate) status: TaskStatus,
    pub(crate) created_at: Timestamp,
}

/// The likenesses of new tasks, each with the first of them that has it.
pub(crate) fn likenesses<'a>(tasks: impl IntoIterator<Item = &'a NewTask>) -> BTreeMap<&'a str, TaskId> {
    let mut hashes = BTreeMap::new();
    for task in tasks {
        if let Some(unique) = unique_of(task) {
            hashes.entry(unique.hash.as_str()).or_insert(task.spec.id);
        }
    }
    hashes
}

fn unique_of(task: &NewTask) -> Option<&Unique> {
    task.spec.conditions.as_ref()?.unique.as_ref()
}

/// Those that are not to be stored, each with the one it meets. `holders` are those that are stored, and afterwards the newest of
/// all. A task sees those before it.
pub(crate) fn meet<'a>(
    tasks: impl IntoIterator<Item = &'a NewTask>,
    holders: &mut HashMap<String, Holder>,
    now: Timestamp,
) -> HashMap<TaskId, TaskId> {
    let mut met = HashMap::new();
    for task in tasks {
        let Some(unique) = unique_of(task) else { continue };
        match holders.get(&unique.hash) {
            Some(holder) if unique.meets(holder.status, holder.created_at, now) => {
                met.insert(task.spec.id, holder.task);
            }
            _ => {
                let holder = Holder {
                    task: task.spec.id,
                    status: TaskStatus::Pending,
                    created_at: now,
                };
                holders.insert(unique.hash.clone(), holder);
            }
        }
    }
    met
}

/// The answers to requests of which some have tasks with conditions: `ready` are those that became ready with them.
pub(crate) fn admitted(
    requests: &[CreateRequest],
    outcomes: &mut [CreateOutcome],
    met: &HashMap<TaskId, TaskId>,
    mut ready: Vec<Ready>,
) {
    let mut first = None;
    for (index, (request, outcome)) in requests.iter().zip(outcomes.iter_mut()).enumerate() {
        let is_conditional = request.tasks.iter().any(|task| task.spec.conditions.is_some());
        if *outcome != CreateOutcome::Created || !is_conditional {
            continue;
        }
        first.get_or_insert(index);
        let places = request.tasks.iter().enumerate();
        let met = places.filter_map(|(place, task)| Some((place, *met.get(&task.spec.id)?)));
        let met = met.collect();
        let (its, others) = ready
            .into_iter()
            .partition(|ready| request.tasks.iter().any(|task| task.spec.id == ready.task));
        ready = others;
        *outcome = CreateOutcome::Admitted(Admission { met, ready: its });
    }
    // A key whose limit was raised lets in others, too.
    if let Some(CreateOutcome::Admitted(admission)) = first.map(|first| &mut outcomes[first]) {
        admission.ready.extend(ready);
    }
}

impl Decision<'_> {
    /// Leaves out the follow-ups that meet a task like them, and lets the others ask for what they need.
    pub(crate) fn admit_follow_ups(&mut self, met: &HashMap<TaskId, TaskId>, now: Timestamp) {
        if !met.is_empty() {
            self.follow_ups.retain(|task| !met.contains_key(&task.spec.id));
            for outcome in &mut self.outcomes {
                if let ChangeOutcome::Done(changed) = outcome {
                    self.missing
                        .extend(leave_out(changed.task, &mut changed.followed, met, now));
                }
            }
        }
        self.gates.created(&self.follow_ups, now);
    }
}

fn leave_out(
    parent: TaskId,
    followed: &mut Followed,
    met: &HashMap<TaskId, TaskId>,
    now: Timestamp,
) -> Vec<MissingFollowUp> {
    let mut missing = Vec::new();
    followed.tasks.retain(|follow_up| {
        let Some(holder) = met.get(&follow_up.task) else {
            return true;
        };
        missing.push(MissingFollowUp {
            parent,
            place: follow_up.place,
            name: follow_up.name.to_string(),
            cause: MissingCause::Met,
            reason: format!("task {holder} is like it"),
            since: now,
        });
        false
    });
    followed.missing.extend_from_slice(&missing);
    followed.missing.sort_by_key(|missing| missing.place);
    missing
}
