//! Requests to create tasks: which are new, which are repeated, which are refused.

use std::collections::HashMap;

use orchestratum_core::{SagaId, TaskId};
use uuid::Uuid;

use crate::{CreateOutcome, CreateRequest, IdempotencyKey, KeyedSaga, NewTask};

/// An idempotency key that was used before.
#[derive(Debug, Clone)]
pub(crate) struct KeptKey {
    pub(crate) body_hash: [u8; 32],
    /// Of what it stands for.
    pub(crate) ids: Vec<Uuid>,
}

/// What a key that was used before says to a request for one resource.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It was used with another body.
    Reused,
    /// Nobody but this very call has this id: the answer to its first COMMIT was lost.
    Ours,
    /// Of the resource that it stands for.
    Replayed(Uuid),
}

impl KeptKey {
    /// Of a request for a saga.
    pub(crate) fn saga(&self, key: &IdempotencyKey) -> KeyedSaga {
        match self.ids.first() {
            Some(first) if self.body_hash == key.body_hash => KeyedSaga::Started(SagaId(*first)),
            _ => KeyedSaga::Reused,
        }
    }

    /// `id` is the one that the request has been given for its resource.
    pub(crate) fn repeat(&self, key: &IdempotencyKey, id: Uuid) -> Repeat {
        match self.ids.first() {
            Some(first) if self.body_hash == key.body_hash && *first == id => Repeat::Ours,
            Some(first) if self.body_hash == key.body_hash => Repeat::Replayed(*first),
            _ => Repeat::Reused,
        }
    }
}

/// The answers, and the requests to be written before they may be given.
#[derive(Debug)]
pub(crate) struct Acceptance<'a> {
    pub(crate) outcomes: Vec<CreateOutcome>,
    /// Those with tasks to store. One whose tasks are stored already, because an answer of ours was lost, is left out.
    pub(crate) accepted: Vec<&'a CreateRequest>,
}

/// What each key of the requests stands for from now on: their tasks, and where one of these met another one, that.
pub(crate) fn keys_of<'a>(
    accepted: &[&'a CreateRequest],
    met: &HashMap<TaskId, TaskId>,
) -> Vec<(&'a IdempotencyKey, Vec<Uuid>)> {
    let keys = accepted.iter().filter_map(|request| {
        let ids = request.tasks.iter().map(|task| task.spec.id);
        let ids = ids.map(|id| met.get(&id).unwrap_or(&id).0).collect();
        Some((request.idempotency.as_ref()?, ids))
    });
    keys.collect()
}

/// The keys of the requests.
pub(crate) fn keys(requests: &[CreateRequest]) -> Vec<&IdempotencyKey> {
    requests
        .iter()
        .filter_map(|request| request.idempotency.as_ref())
        .collect()
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

fn ids(tasks: &[NewTask]) -> Vec<Uuid> {
    tasks.iter().map(|task| task.spec.id.0).collect()
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
        CreateOutcome::Replayed {
            ids: kept.ids.iter().copied().map(TaskId).collect(),
        }
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
