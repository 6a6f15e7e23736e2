//! A call that looks at many sagas, between what it reads and what it writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, DefinitionName, Input, Instance};
use orchestratum_core::task::SpecLimits;
use orchestratum_core::{SagaId, Timestamp};

use super::super::follow::claimed_at_once;
use super::allowance::Allowance;
use super::fold::{Answered, Folded, Folding, LockedSaga, SagaHead, stand};
use super::known::KnownEvents;
use super::waiting::ArrivedRows;
use crate::{Advance, AdvanceOutcome, Advanced, ClaimedTask, Consequences, Error, Request};

/// Definitions that are ready to run, by their names and versions.
pub(crate) type Compiled = HashMap<(DefinitionName, u32), Arc<CompiledDefinition>>;

/// A look at sagas under their locks: first at what has arrived, as it is read, then at what callers bring.
///
/// It may do so much and no more: then what has arrived stays where it is, and what callers bring is theirs still.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    sagas: BTreeMap<SagaId, Folding<'a>>,
    /// In the order of the callers.
    requests: Vec<(SagaId, &'a Request)>,
    /// The row that was read last.
    last: i64,
    /// Whether more rows may wait.
    has_more: bool,
    allowance: Allowance,
    /// For which it was not enough.
    cut: BTreeSet<SagaId>,
    /// Those of them to which something has arrived that is not looked at.
    again: BTreeSet<SagaId>,
}

/// The sagas after a look.
#[derive(Debug)]
pub(crate) struct Looked {
    /// In the order of their ids.
    pub(crate) folded: Vec<Folded>,
    /// Those that may have more to be looked at.
    pub(crate) unlooked: Vec<SagaId>,
    /// Those that have more since the look was not enough.
    pub(crate) again: Vec<SagaId>,
    /// For how many the look was not enough.
    pub(crate) cut: usize,
}

impl<'a> Look<'a> {
    pub(crate) fn new(
        advances: &'a [Advance],
        locked: Vec<(SagaHead, Instance)>,
        compiled: &Compiled,
        limits: &'a SpecLimits,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut seeds: HashMap<SagaId, u128> = HashMap::with_capacity(locked.len());
        for advance in advances {
            seeds.entry(advance.saga).or_insert(advance.seed);
        }
        let sagas = locked.into_iter().map(|(head, instance)| {
            let id = head.id;
            let seed = seeds.get(&id).copied().unwrap_or(0);
            let saga = LockedSaga {
                definition: definition_of(compiled, &head)?,
                head,
                instance,
            };
            Ok((id, Folding::new(saga, (limits, seed), now)))
        });
        let sagas: BTreeMap<SagaId, Folding<'_>> = sagas.collect::<Result<_, Error>>()?;
        let requests = advances
            .iter()
            .filter_map(|advance| Some((advance.saga, advance.request.as_ref()?)))
            .filter(|(saga, _)| sagas.contains_key(saga));
        Ok(Self {
            requests: requests.collect(),
            sagas,
            last: 0,
            has_more: true,
            allowance: Allowance::default(),
            cut: BTreeSet::new(),
            again: BTreeSet::new(),
        })
    }

    /// Workers go on with what is made, as far as they have offered to: one task of each saga.
    pub(crate) fn with_offers(mut self, advances: &'a [Advance]) -> Self {
        for (place, advance) in advances.iter().enumerate() {
            if let (Some(offer), Some(saga)) = (&advance.offer, self.sagas.get_mut(&advance.saga)) {
                saga.offered(place, offer);
            }
        }
        self
    }

    /// These never begin.
    pub(crate) fn with_stopped(mut self, children: &BTreeSet<SagaId>) -> Self {
        for child in children {
            if let Some(saga) = self.sagas.get_mut(child) {
                saga.never_begins();
            }
        }
        self
    }

    /// Behind which row there may be more to be looked at now, only so much at a time. What callers bring comes last, so where they bring
    /// something it goes on until the look is used up, and they wait for another then; otherwise what is left is looked at in a
    /// transaction of its own.
    pub(crate) fn reads_on(&self) -> Option<i64> {
        let goes_on = self.has_more && !self.requests.is_empty() && !self.allowance.is_used_up();
        (self.last == 0 || goes_on).then_some(self.last)
    }

    /// In the order of their rows, the definitions in turns, and their sagas. It pauses now and then where they cost much.
    pub(crate) async fn arrived<P: Future<Output = ()>>(
        &mut self,
        ArrivedRows { rows, has_more }: ArrivedRows,
        pause: impl Fn() -> P,
    ) {
        self.has_more = has_more;
        self.last = rows.last().map_or(i64::MAX, |(_, row)| row.id);
        for (id, row) in self.in_turns(rows) {
            let Some(saga) = self.sagas.get_mut(&id) else { continue };
            if self.allowance.is_used_up() {
                self.cut.insert(id);
                self.again.insert(id);
            } else {
                let cost = saga.arrive(row);
                self.allowance.used(cost, &pause).await;
            }
        }
    }

    /// The sagas after the look. `known` are the events of the ids that callers bring, as far as there are some. It pauses like
    /// [`arrived`](Self::arrived).
    pub(crate) async fn end<P: Future<Output = ()>>(
        mut self,
        mut known: HashMap<SagaId, KnownEvents>,
        pause: impl Fn() -> P,
    ) -> Looked {
        for (id, saga) in &mut self.sagas {
            saga.knows(known.remove(id).unwrap_or_default());
        }
        let requests = std::mem::take(&mut self.requests);
        for (id, request) in self.in_turns(requests) {
            let Some(saga) = self.sagas.get_mut(&id) else { continue };
            // Where something that has arrived was left, this is too: it is used up for good.
            if self.allowance.is_used_up() {
                saga.leave();
                self.cut.insert(id);
            } else {
                let cost = saga.bring(request);
                self.allowance.used(cost, &pause).await;
            }
        }
        let unlooked = if self.has_more {
            self.sagas.keys().copied().collect()
        } else {
            Vec::new()
        };
        Looked {
            unlooked,
            again: self.again.into_iter().collect(),
            cut: self.cut.len(),
            folded: self.sagas.into_values().map(Folding::end).collect(),
        }
    }

    /// The first of each definition, then the second of each, and so on; and so the sagas of a definition: one that costs much keeps no
    /// other out. Those of a saga stay in their order.
    fn in_turns<T>(&self, items: Vec<(SagaId, T)>) -> Vec<(SagaId, T)> {
        let of_sagas = in_turns_by(items, |(id, _)| *id);
        in_turns_by(of_sagas, |(id, _)| {
            self.sagas.get(id).map(|saga| &saga.folded.head.definition)
        })
    }
}

/// The first of each of whoever they belong to, then the second of each, and so on; otherwise as they were.
fn in_turns_by<T, Owner: Eq + Hash>(items: Vec<T>, owner: impl Fn(&T) -> Owner) -> Vec<T> {
    let mut turns: HashMap<Owner, usize> = HashMap::new();
    let turn = |item: T| {
        let turn = turns.entry(owner(&item)).or_default();
        *turn += 1;
        (*turn, item)
    };
    let mut ordered: Vec<(usize, T)> = items.into_iter().map(turn).collect();
    ordered.sort_by_key(|(turn, _)| *turn);
    ordered.into_iter().map(|(_, item)| item).collect()
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
            Answered::NotThere => AdvanceOutcome::NotThere { advanced },
            Answered::Left => AdvanceOutcome::Left { advanced },
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

#[cfg(test)]
mod tests;
