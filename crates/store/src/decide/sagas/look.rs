//! A call that looks at many sagas, between what it reads and what it writes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, DefinitionName, Input, Instance};
use orchestratum_core::task::SpecLimits;
use orchestratum_core::{SagaId, Timestamp};

use super::super::follow::claimed_at_once;
use super::ARRIVED_MAX;
use super::fold::{Answered, Arrived, Folded, Folding, LockedSaga, SagaHead, stand};
use super::known::KnownEvents;
use crate::{Advance, AdvanceOutcome, Advanced, ClaimedTask, Consequences, Error, Request};

/// Definitions that are ready to run, by their names and versions.
pub(crate) type Compiled = HashMap<(DefinitionName, u32), Arc<CompiledDefinition>>;

/// A look at sagas under their locks: first at what has arrived, as it is read, then at what callers bring.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    sagas: BTreeMap<SagaId, Looking<'a>>,
    /// The row that was read last.
    last: i64,
    /// Whether more rows may wait.
    has_more: bool,
}

#[derive(Debug)]
struct Looking<'a> {
    folding: Folding<'a>,
    requests: Vec<&'a Request>,
}

impl<'a> Look<'a> {
    pub(crate) fn new(
        advances: &'a [Advance],
        locked: Vec<(SagaHead, Instance)>,
        compiled: &Compiled,
        limits: &'a SpecLimits,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut callers: HashMap<SagaId, Vec<&Advance>> = HashMap::with_capacity(locked.len());
        for advance in advances {
            callers.entry(advance.saga).or_default().push(advance);
        }
        let sagas = locked.into_iter().map(|(head, instance)| {
            let id = head.id;
            let callers = callers.remove(&id).unwrap_or_default();
            let seed = callers.first().map_or(0, |advance| advance.seed);
            let saga = LockedSaga {
                definition: definition_of(compiled, &head)?,
                head,
                instance,
            };
            let looking = Looking {
                folding: Folding::new(saga, (limits, seed), now),
                requests: callers
                    .into_iter()
                    .filter_map(|advance| advance.request.as_ref())
                    .collect(),
            };
            Ok((id, looking))
        });
        Ok(Self {
            sagas: sagas.collect::<Result<_, Error>>()?,
            last: 0,
            has_more: true,
        })
    }

    /// Workers go on with what is made, as far as they have offered to: one task of each saga.
    pub(crate) fn with_offers(mut self, advances: &'a [Advance]) -> Self {
        for (place, advance) in advances.iter().enumerate() {
            if let (Some(offer), Some(saga)) = (&advance.offer, self.sagas.get_mut(&advance.saga)) {
                saga.folding.offered(place, offer);
            }
        }
        self
    }

    /// Behind which row there may be more to be looked at now, at most [`ARRIVED_MAX`] at a time. What callers bring comes last,
    /// so where they bring something all of it is; otherwise what is left is looked at in a transaction of its own.
    pub(crate) fn reads_on(&self) -> Option<i64> {
        let brings = || self.sagas.values().any(|saga| !saga.requests.is_empty());
        (self.last == 0 || self.has_more && brings()).then_some(self.last)
    }

    /// In the order of their rows.
    pub(crate) fn arrived(&mut self, rows: Vec<(SagaId, Arrived)>) {
        self.has_more = rows.len() >= ARRIVED_MAX;
        self.last = rows.last().map_or(i64::MAX, |(_, row)| row.id);
        for (saga, row) in rows {
            if let Some(saga) = self.sagas.get_mut(&saga) {
                saga.folding.arrive(row);
            }
        }
    }

    /// The sagas that may have more to be looked at.
    pub(crate) fn left(&self) -> Vec<SagaId> {
        if self.has_more {
            self.sagas.keys().copied().collect()
        } else {
            Vec::new()
        }
    }

    /// The sagas after the look, in the order of their ids. `known` are the events of the ids that callers bring, as far as there are some.
    pub(crate) fn end(self, mut known: HashMap<SagaId, KnownEvents>) -> Vec<Folded> {
        let folded = self.sagas.into_iter().map(|(id, saga)| {
            let known = known.remove(&id).unwrap_or_default();
            saga.folding.bring(&saga.requests, known)
        });
        folded.collect()
    }
}

pub(super) fn definition_of(compiled: &Compiled, head: &SagaHead) -> Result<Arc<CompiledDefinition>, Error> {
    let key = (head.definition.clone(), head.definition_version);
    compiled.get(&key).map(Arc::clone).ok_or_else(|| Error::Corrupt {
        table: "sagas",
        column: "definition_version",
        row: head.id.to_string(),
        detail: format!("there is no version {} of {}", head.definition_version, head.definition),
    })
}

/// The ids of the events that callers bring.
pub(crate) fn brought_events(advances: &[Advance]) -> Vec<(SagaId, &str)> {
    let events = advances
        .iter()
        .filter_map(|advance| match &advance.request.as_ref()?.input {
            Input::EventRaised(event) => Some((advance.saga, event.id.as_str())),
            _ => None,
        });
    events.collect()
}

/// What each caller is told; the first of them with what follows the commit.
pub(crate) fn answers(
    advances: &[Advance],
    mut folded: Vec<Folded>,
    consequences: Consequences,
    now: Timestamp,
) -> Vec<AdvanceOutcome> {
    let mut consequences = Some(consequences);
    for saga in &mut folded {
        // In the order of the callers, from the end.
        saga.answers.reverse();
    }
    let answer = |(at, advance): (usize, &Advance)| {
        let Ok(place) = folded.binary_search_by_key(&advance.saga, |saga| saga.head.id) else {
            return AdvanceOutcome::NotFound;
        };
        let saga = &mut folded[place];
        let brought = advance.request.as_ref().and_then(|_| saga.answers.pop());
        let (outcome, instance) = match brought {
            Some(answer) => (answer.outcome, answer.instance),
            None => (Answered::Done, saga.instance.clone()),
        };
        let after = stand(&instance);
        let claimed = claimed(saga, at, now);
        let advanced = Box::new(Advanced {
            saga: saga.head.saga(instance),
            before: Some(std::mem::replace(&mut saga.before, after)),
            consequences: consequences.take().unwrap_or_default(),
            claimed,
        });
        match outcome {
            Answered::Done => AdvanceOutcome::Done(advanced),
            Answered::Repeated => AdvanceOutcome::Repeated(advanced),
            Answered::Rejected(rejection) => AdvanceOutcome::Rejected { rejection, advanced },
            Answered::EventIdReused(event) => AdvanceOutcome::EventIdReused { event, advanced },
            Answered::VersionMismatch => AdvanceOutcome::VersionMismatch { advanced },
        }
    };
    advances.iter().enumerate().map(answer).collect()
}

/// What the worker goes on with whose offer came with the look at this place.
fn claimed(saga: &Folded, at: usize, now: Timestamp) -> Option<Box<ClaimedTask>> {
    let taken = saga.taken.filter(|taken| taken.by == at)?;
    let task = saga.tasks.iter().find(|task| task.spec.id == taken.task)?;
    Some(Box::new(claimed_at_once(task, now)))
}
