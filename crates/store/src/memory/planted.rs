//! The deliberate bugs of the transactions: the proof that the checks of the simulation bite.

use orchestratum_core::task::TaskState;

use crate::decide::{Folded, Taken};
use crate::{Advance, AdvanceOutcome, NewTask};

/// A deliberate bug in what is written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsMutant {
    /// That the inputs of a look were taken is written in a transaction of its own, after that of the saga.
    TakenIsWrittenAfterwards,
    /// The end of a task reaches its saga in a transaction of its own, after that of the task.
    EndIsWrittenAfterwards,
    /// A parent is told of the end of its child in a transaction of its own, after that of the child.
    ParentIsToldAfterwards,
    /// The tasks of a look are made in a transaction of their own, after that of the saga.
    TasksAreMadeAfterwards,
    /// Nobody looks whether an event with the id was taken before.
    EventIdsAreForgotten,
    /// A timer that has fired stays.
    TimersFireAgain,
    /// The timers of a saga that is over stay.
    TimersOutliveTheirSaga,
    /// A worker is given the first task of its look, whatever it serves.
    LanesAreNotAsked,
    /// Workers are given tasks of targets that are paused or have a rate.
    ClosedTargetsAreNotAsked,
    /// A worker whose lease is over is given a task.
    LeasesAreNotAsked,
    /// Every worker that offers in a look is given the task that one of them is given.
    AllThatOfferAreGivenTheSame,
    /// A task that a worker is given waits with its dispatch row, as if nobody had it.
    WhatIsGivenWaits,
    /// What was given to a worker and lost with it is in no doubt.
    WhatIsGivenLeavesNoDoubt,
}

/// A worker is given what it does not serve.
pub(super) fn take_whatever_comes_first(advances: &[Advance], folded: &mut [Folded]) {
    for saga in folded.iter_mut().filter(|saga| saga.taken.is_none()) {
        let mut offers = advances
            .iter()
            .enumerate()
            .filter(|(_, advance)| advance.saga == saga.head.id);
        let offer = offers.find_map(|(by, advance)| Some((by, advance.offer.as_ref()?)));
        // One that is cancelled or not due could not begin.
        let is_due = |task: &&NewTask| matches!(task.life.state, TaskState::Pending { due_at } if due_at <= task.spec.created_at);
        let first = saga.tasks.first().filter(|_| saga.cancels.is_empty()).filter(is_due);
        if let (Some((by, offer)), Some(task)) = (offer, first) {
            saga.taken = Some(Taken {
                task: task.spec.id,
                worker: offer.takes.worker,
                by,
            });
        }
    }
}

/// What one worker is given the others are given, too.
pub(super) fn give_all_the_same(advances: &[Advance], outcomes: &mut [AdvanceOutcome]) {
    let given = |outcome: &AdvanceOutcome| match outcome {
        AdvanceOutcome::Done(advanced) => advanced.claimed.clone(),
        _ => None,
    };
    let all: Vec<_> = advances
        .iter()
        .zip(&*outcomes)
        .map(|(advance, outcome)| (advance.saga, given(outcome)))
        .collect();
    for (advance, outcome) in advances.iter().zip(outcomes) {
        let mut of_saga = all.iter().filter(|(saga, _)| *saga == advance.saga);
        if let (Some(_), AdvanceOutcome::Done(advanced)) = (&advance.offer, outcome) {
            advanced.claimed = of_saga.find_map(|(_, claimed)| claimed.clone());
        }
    }
}
