//! The processes that look at sagas: what they read and decide in one moment they write in another, if they live to.

use std::collections::BTreeSet;

use orchestratum_core::{SagaId, Timestamp};
use orchestratum_store::memory::{Look, Start};
use orchestratum_store::{Advance, AdvanceOutcome, Advanced, ChangeOutcome, ClaimedTask, Consequences, StartOutcome};

use super::answers::Answer;
use super::check;
use super::workers::Offer;
use super::world::{Step, World};
use crate::coverage::SagaMarker;
use crate::limits::{MILLISECOND, SECOND, timestamp};
use crate::mutant::Mutant;

/// How many calls and sagas one look takes.
const LOOKED_AT_ONCE: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Process {
    is_down: bool,
    incarnation: u32,
    /// The sagas that it will look at.
    waiting: BTreeSet<SagaId>,
    /// The calls that it has taken in.
    pub(super) calls: Vec<usize>,
    /// Those of workers that would go on.
    offers: Vec<Offer>,
    begins: bool,
}

/// An open transaction.
#[derive(Debug)]
pub(super) struct Open {
    process: usize,
    incarnation: u32,
    /// What is answered after it.
    calls: Vec<usize>,
    /// Their looks come after those of the calls.
    offers: Vec<Offer>,
    began_at: Timestamp,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Look(Look, Vec<SagaId>),
    Start(Start),
}

impl World {
    pub(super) fn any_process(&mut self) -> Option<usize> {
        let up: Vec<usize> = (0..self.processes.len())
            .filter(|place| !self.processes[*place].is_down)
            .collect();
        if up.is_empty() {
            return None;
        }
        Some(up[self.chance.index(up.len())])
    }

    /// The fast path: a process has heard that these have something to look at.
    pub(super) fn look_at(&mut self, process: usize, sagas: Vec<SagaId>) {
        self.processes[process].waiting.extend(sagas);
        self.expect_begin(process);
    }

    pub(super) fn expect_begin(&mut self, process: usize) {
        let Process {
            is_down,
            incarnation,
            waiting,
            calls,
            offers,
            begins,
        } = &mut self.processes[process];
        if *is_down || *begins || (waiting.is_empty() && calls.is_empty() && offers.is_empty()) {
            return;
        }
        *begins = true;
        let incarnation = *incarnation;
        self.soon(20 * MILLISECOND, Step::Begin { process, incarnation });
    }

    pub(super) fn begin(&mut self, process: usize, incarnation: u32) {
        if self.processes[process].incarnation != incarnation {
            return;
        }
        self.processes[process].begins = false;
        if self.begin_start(process) || self.begin_look(process) {
            self.expect_begin(process);
        }
    }

    fn begin_start(&mut self, process: usize) -> bool {
        let calls = std::mem::take(&mut self.processes[process].calls);
        let (starts, others): (Vec<usize>, Vec<usize>) =
            calls.into_iter().partition(|call| self.asked[*call].is_start());
        self.processes[process].calls = others;
        if starts.is_empty() {
            return false;
        }
        let sagas: Vec<_> = starts.iter().map(|call| self.new_saga(*call)).collect();
        match self.rows.begin_start(&sagas, timestamp(self.now)) {
            Ok(start) => self.open(process, starts, Vec::new(), Work::Start(start)),
            Err(error) => self.violate(check::damaged(&error)),
        }
        true
    }

    fn is_locked(&self, saga: SagaId) -> bool {
        self.locks.contains_key(&saga) && !self.planted.is(Mutant::LooksLockNothing)
    }

    /// Whether there was something that nobody has under a lock; what is, waits for the end of that transaction.
    fn begin_look(&mut self, process: usize) -> bool {
        let mut calls = Vec::new();
        let mut later = Vec::new();
        for call in std::mem::take(&mut self.processes[process].calls) {
            let is_free = self.asked[call].saga().is_some_and(|saga| !self.is_locked(saga));
            if is_free && calls.len() < LOOKED_AT_ONCE {
                calls.push(call);
            } else {
                later.push(call);
            }
        }
        self.processes[process].calls = later;
        let offers = self.free_offers(process);
        let waiting = self.processes[process].waiting.iter().copied();
        let free: Vec<SagaId> = waiting
            .filter(|saga| !self.is_locked(*saga))
            .take(LOOKED_AT_ONCE)
            .collect();
        for saga in &free {
            self.processes[process].waiting.remove(saga);
        }
        if calls.is_empty() && offers.is_empty() && free.is_empty() {
            self.sometimes(SagaMarker::LookWaitedForALock);
            return false;
        }
        let mut advances: Vec<Advance> = calls.iter().filter_map(|call| self.advance(*call)).collect();
        let offering = offers.iter().map(|offer| (offer.saga, Some(offer)));
        for (saga, offer) in offering.chain(free.into_iter().map(|saga| (saga, None))) {
            let seed = self.seed();
            advances.push(Advance {
                saga,
                request: None,
                offer: offer.map(|offer| self.saga_offer(offer)),
                seed,
            });
        }
        let sagas: Vec<SagaId> = advances.iter().map(|advance| advance.saga).collect();
        match self.rows.begin_look(advances, timestamp(self.now)) {
            Ok(look) => self.open(process, calls, offers, Work::Look(look, sagas)),
            Err(error) => self.violate(check::damaged(&error)),
        }
        true
    }

    /// Of sagas that nobody has under a lock.
    fn free_offers(&mut self, process: usize) -> Vec<Offer> {
        let offers = std::mem::take(&mut self.processes[process].offers);
        let (mut free, mut later): (Vec<Offer>, Vec<Offer>) =
            offers.into_iter().partition(|offer| !self.is_locked(offer.saga));
        later.extend(free.split_off(free.len().min(LOOKED_AT_ONCE)));
        self.processes[process].offers = later;
        let sagas: BTreeSet<SagaId> = free.iter().map(|offer| offer.saga).collect();
        if sagas.len() < free.len() {
            self.sometimes(SagaMarker::OfferedBesideAnother);
        }
        free
    }

    pub(super) fn seed(&mut self) -> u128 {
        (u128::from(self.chance.next()) << 64) | u128::from(self.chance.next())
    }

    fn open(&mut self, process: usize, calls: Vec<usize>, offers: Vec<Offer>, work: Work) {
        self.last_transaction += 1;
        let transaction = self.last_transaction;
        if let Work::Look(_, sagas) = &work {
            for saga in sagas {
                self.locks.insert(*saga, transaction);
            }
        }
        let open = Open {
            process,
            incarnation: self.processes[process].incarnation,
            calls,
            offers,
            began_at: timestamp(self.now),
            work,
        };
        self.open.insert(transaction, open);
        let most = if self.chance.happens(self.faults.look_slow) {
            8 * SECOND
        } else {
            20 * MILLISECOND
        };
        self.soon(most, Step::Commit(transaction));
    }

    pub(super) fn commit(&mut self, transaction: u32) {
        let Some(open) = self.open.remove(&transaction) else {
            return;
        };
        self.locks.retain(|_, holder| *holder != transaction);
        let process = open.process;
        let is_dead = self.processes[process].incarnation != open.incarnation;
        if is_dead || self.chance.happens(self.faults.dies_before_commit) {
            self.sometimes(SagaMarker::LookRolledBack);
            self.note(|| format!("process {process} dies, and its transaction {transaction} is rolled back"));
            if !is_dead {
                self.die(process);
            }
        } else {
            self.maybe_skip_an_id();
            self.write(open);
        }
        // Whoever waited for the locks.
        for process in 0..self.processes.len() {
            self.expect_begin(process);
        }
    }

    fn write(&mut self, open: Open) {
        let Open {
            process,
            calls,
            offers,
            began_at,
            work,
            ..
        } = open;
        match work {
            Work::Look(look, sagas) => {
                let mut outcomes = self.rows.commit_look(look);
                self.note(|| format!("process {process} has looked at {sagas:?}"));
                let given = self.given_to(offers, &mut outcomes[calls.len()..], began_at);
                let follows = self.follows(process);
                if follows {
                    self.after_look(process, &calls, outcomes);
                }
                self.check_sagas(&sagas);
                self.give(given, follows);
            }
            Work::Start(start) => {
                let Ok(outcomes) = self.rows.commit_start(start) else {
                    self.sometimes(SagaMarker::StartOvertaken);
                    self.processes[process].calls.extend(calls);
                    return;
                };
                if self.follows(process) {
                    self.after_start(process, &calls, outcomes);
                }
                let all: Vec<SagaId> = self.rows.sagas.keys().copied().collect();
                self.check_sagas(&all);
            }
        }
    }

    /// What those have got who have offered; the outcomes begin with theirs.
    fn given_to(
        &mut self,
        offers: Vec<Offer>,
        outcomes: &mut [AdvanceOutcome],
        began_at: Timestamp,
    ) -> Vec<(Offer, ClaimedTask)> {
        let mut given = Vec::new();
        for (offer, outcome) in offers.into_iter().zip(outcomes) {
            let lane = &self.definitions.lanes[offer.lane];
            let claimed = match outcome {
                AdvanceOutcome::Done(advanced) => advanced.claimed.take(),
                _ => None,
            };
            let Some(task) = claimed else {
                check::mark_refused(&self.rows, (&offer, lane), began_at, &mut self.coverage);
                continue;
            };
            if let Err(violation) = check::as_by_a_claim(&self.rows, (&offer, lane), &task, began_at) {
                self.violate(violation);
            }
            given.push((offer, *task));
        }
        given
    }

    pub(super) fn maybe_skip_an_id(&mut self) {
        if self.chance.happens(self.faults.rows_out_of_order) {
            self.sometimes(SagaMarker::RowsOutOfOrder);
            self.rows.skip_an_id();
        }
    }

    /// Whether the process lives to do what follows a commit.
    pub(super) fn follows(&mut self, process: usize) -> bool {
        if self.chance.happens(self.faults.dies_after_commit) {
            self.sometimes(SagaMarker::DiedAfterCommit);
            self.note(|| format!("process {process} dies after its commit"));
            self.rows.forget_afterwards();
            self.die(process);
            return false;
        }
        self.rows.write_afterwards();
        true
    }

    fn die(&mut self, process: usize) {
        let lost = &mut self.processes[process];
        lost.is_down = true;
        lost.incarnation += 1;
        lost.begins = false;
        lost.waiting.clear();
        lost.calls.clear();
        lost.offers.clear();
        self.soon(3 * SECOND, Step::Restart(process));
    }

    pub(super) fn restart(&mut self, process: usize) {
        self.processes[process].is_down = false;
    }

    fn after_start(&mut self, process: usize, calls: &[usize], outcomes: Vec<StartOutcome>) {
        for (call, outcome) in calls.iter().zip(outcomes) {
            let answer = match outcome {
                StartOutcome::Started(advanced) => {
                    self.consequences(process, advanced.consequences);
                    Answer::Taken
                }
                StartOutcome::Exists(_) => {
                    self.sometimes(SagaMarker::StartRepeated);
                    Answer::Repeated
                }
                StartOutcome::Replayed(_) | StartOutcome::KeyReused => unreachable!("no call has a key"),
                StartOutcome::NoDefinition => Answer::NotFound,
                StartOutcome::Left => unreachable!("nothing costs so much here"),
                StartOutcome::Rejected(rejection) => Answer::Refused(rejection.to_string()),
                StartOutcome::Withheld => unreachable!("each of these starts stands alone"),
            };
            self.answer(*call, answer);
        }
    }

    fn after_look(&mut self, process: usize, calls: &[usize], outcomes: Vec<AdvanceOutcome>) {
        // Those of the calls come first.
        for (place, outcome) in outcomes.into_iter().enumerate() {
            let told = |advanced: Box<Advanced>| Some(advanced.consequences);
            let (answer, consequences) = match outcome {
                AdvanceOutcome::Done(advanced) => (Answer::Taken, told(advanced)),
                AdvanceOutcome::Repeated(advanced) => (Answer::Repeated, told(advanced)),
                AdvanceOutcome::Rejected { rejection, advanced } => {
                    (Answer::Refused(rejection.to_string()), told(advanced))
                }
                AdvanceOutcome::EventIdReused { advanced, .. } => (Answer::IdReused, told(advanced)),
                AdvanceOutcome::NotThere { advanced } => (Answer::VersionMismatch, told(advanced)),
                AdvanceOutcome::NotFound => (Answer::NotFound, None),
                AdvanceOutcome::Left { .. } => unreachable!("nothing costs so much here"),
            };
            if let Some(consequences) = consequences {
                self.consequences(process, consequences);
            }
            if let Some(call) = calls.get(place) {
                self.answer(*call, answer);
            }
        }
    }

    /// What whoever has committed does: all of it may be lost.
    fn consequences(&mut self, process: usize, consequences: Consequences) {
        for ready in consequences.ready {
            self.announce(ready.task);
        }
        for changed in consequences.cancelled {
            self.cancelled(changed.task, &changed.life.state);
        }
        self.look_at(process, consequences.unlooked);
    }

    /// After a change of a task, by whichever process made it.
    pub(super) fn after_change(&mut self, outcome: &ChangeOutcome, offer: Option<Offer>) {
        let Some(process) = self.any_process() else {
            self.rows.forget_afterwards();
            return;
        };
        if !self.follows(process) {
            return;
        }
        let saga = match outcome {
            ChangeOutcome::Done(changed) if changed.life.status().is_terminal() => changed.saga,
            ChangeOutcome::AlreadyReported { saga } => *saga,
            _ => None,
        };
        match (saga, offer) {
            (Some(_), Some(offer)) => {
                self.processes[process].offers.push(offer);
                self.expect_begin(process);
            }
            (Some(saga), None) => self.look_at(process, vec![saga]),
            (None, _) => {}
        }
    }

    fn check_sagas(&mut self, sagas: &[SagaId]) {
        if self.violation.is_some() {
            return;
        }
        for saga in sagas {
            if let Err(violation) = check::now(&self.rows, *saga) {
                self.violate(violation);
                return;
            }
            self.expect_person(*saga);
        }
    }
}
