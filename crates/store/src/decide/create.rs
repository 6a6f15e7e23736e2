//! Requests to create tasks: which are new, which are repeated, which are refused.

use std::collections::HashMap;

use orchestratum_core::TaskId;

use crate::{CreateOutcome, CreateRequest, IdempotencyKey, NewTask};

/// An idempotency key that was used before.
#[derive(Debug, Clone)]
pub(crate) struct KeptKey {
    pub(crate) body_hash: [u8; 32],
    pub(crate) ids: Vec<TaskId>,
}

/// The answers, and the requests to be written before they may be given.
#[derive(Debug)]
pub(crate) struct Acceptance<'a> {
    pub(crate) outcomes: Vec<CreateOutcome>,
    /// Those with tasks to store. One whose tasks are stored already, because an answer of ours was lost, is left out.
    pub(crate) accepted: Vec<&'a CreateRequest>,
}

/// `keys` and `existing` hold those of the requests' keys and ids that are stored; the hash is that of the caller who
/// chose the id. A request sees what the ones before it in the slice will have stored.
pub(crate) fn create(
    requests: &[CreateRequest],
    mut keys: HashMap<(String, String), KeptKey>,
    mut existing: HashMap<TaskId, Option<[u8; 32]>>,
) -> Acceptance<'_> {
    let mut outcomes = Vec::with_capacity(requests.len());
    let mut accepted = Vec::with_capacity(requests.len());
    for request in requests {
        let outcome = repeated(request, &keys).or_else(|| conflict(&request.tasks, &existing));
        if outcome.is_none() {
            existing.extend(request.tasks.iter().map(|task| (task.spec.id, task.request_hash)));
            if let Some(IdempotencyKey { scope, key, body_hash }) = &request.idempotency {
                let kept = KeptKey {
                    body_hash: *body_hash,
                    ids: ids(&request.tasks),
                };
                keys.insert((scope.clone(), key.clone()), kept);
            }
            accepted.push(request);
        }
        outcomes.push(outcome.unwrap_or(CreateOutcome::Created));
    }
    Acceptance { outcomes, accepted }
}

fn ids(tasks: &[NewTask]) -> Vec<TaskId> {
    tasks.iter().map(|task| task.spec.id).collect()
}

fn repeated(request: &CreateRequest, keys: &HashMap<(String, String), KeptKey>) -> Option<CreateOutcome> {
    let IdempotencyKey { scope, key, body_hash } = request.idempotency.as_ref()?;
    let kept = keys.get(&(scope.clone(), key.clone()))?;
    Some(if kept.body_hash != *body_hash {
        CreateOutcome::KeyReused
    } else if kept.ids == ids(&request.tasks) && !request.tasks.iter().any(|task| task.request_hash.is_some()) {
        // Nobody but this very call has these ids: the answer to its first COMMIT was lost.
        CreateOutcome::Created
    } else {
        CreateOutcome::Replayed { ids: kept.ids.clone() }
    })
}

/// The reason why these tasks are not stored, if any: an id that is taken goes before one that merely is repeated.
fn conflict(tasks: &[NewTask], existing: &HashMap<TaskId, Option<[u8; 32]>>) -> Option<CreateOutcome> {
    let mut repeated = None;
    let mut ours = 0_usize;
    let mut seen = std::collections::HashSet::with_capacity(tasks.len());
    for task in tasks {
        let id = task.spec.id;
        if !seen.insert(id) {
            return Some(CreateOutcome::IdTaken { id });
        }
        match existing.get(&id) {
            None => {}
            // An id of our own making is never made twice: this call, or a batch it was in, committed before.
            Some(None) if task.request_hash.is_none() => ours += 1,
            Some(Some(hash)) if task.request_hash == Some(*hash) => {
                repeated.get_or_insert(CreateOutcome::Exists { id });
            }
            Some(_) => return Some(CreateOutcome::IdTaken { id }),
        }
    }
    if repeated.is_some() {
        repeated
    } else if ours == 0 {
        None
    } else if ours == tasks.len() {
        Some(CreateOutcome::Created)
    } else {
        // Tasks of one call stand or fall together, so part of them cannot be from an earlier try of it.
        tasks
            .iter()
            .find(|task| existing.contains_key(&task.spec.id))
            .map(|task| CreateOutcome::IdTaken { id: task.spec.id })
    }
}
