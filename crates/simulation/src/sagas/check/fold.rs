//! A saga folded again from its first event, and what its rows tell of the same.

use std::collections::BTreeMap;

use orchestratum_core::SagaId;
use orchestratum_core::saga::harness::Armed;
use orchestratum_core::saga::{
    CompiledDefinition, Effect, Input, Instance, Note, Outcome, Phase, Purpose, Rejection, SagaEnd, Timer, step,
};
use orchestratum_core::task::{AttemptOutcome, SpecLimits, TaskStatus};
use orchestratum_store::memory::{EventRow, LookedAt, Rows, SagaRow, TaskRow};

use super::step::{Taken, follows_the_rules};
use super::{Checked, Invariant, holds, purpose};
use crate::coverage::{Coverage, SagaMarker};
use crate::invariant::Violation;

/// What the history of one saga has told so far.
#[derive(Default)]
pub(super) struct Told {
    /// By number and purpose, how often each was issued.
    issued: BTreeMap<(u32, bool), usize>,
    children: Vec<u32>,
    /// How often what has an id was done with: taken or refused by a state.
    pub(super) done: BTreeMap<String, u32>,
    fired: BTreeMap<Timer, u32>,
    /// Compensations that have succeeded.
    undone: BTreeMap<u32, usize>,
    taken: u64,
    /// What the ends of its tasks register.
    pub(super) armed: Armed,
}

/// Folds it, and compares what comes of it with the row.
pub(super) fn history(row: &SagaRow, rows: &Rows, coverage: &mut Coverage) -> Result<Instance, Violation> {
    let saga = row.id();
    let broken = |detail: String| Violation {
        invariant: Invariant::SagaIsFoldOfEvents,
        detail: format!("{saga}: {detail}"),
    };
    let definition = rows
        .definition(row.definition())
        .ok_or_else(|| broken("it has no definition".to_owned()))?;
    let stored = row.instance().map_err(|error| broken(error.to_string()))?;
    let mut instance = Instance::new(
        definition.definition(),
        saga,
        row.correlation_id.clone(),
        row.input.clone(),
    );
    let mut told = Told::default();
    let events = in_order(rows, saga);
    for (expected, (event, looked_at)) in (1..).zip(&events) {
        if looked_at.seq != expected {
            return Err(broken(format!(
                "its history has {} in place of {expected}",
                looked_at.seq
            )));
        }
        knows_of_doubt(rows, saga, event, coverage)?;
        instance = refold(definition, instance, event, looked_at, &mut told, coverage)?;
        if (looked_at.version, &looked_at.to) != (instance.version, &instance.state) {
            let (version, state) = (instance.version, &instance.state);
            return Err(broken(format!(
                "{looked_at:?} should have led to {state}, version {version}"
            )));
        }
    }
    if row.last_seq() != events.len() as u64 || stored != instance || row.status != instance.status() {
        return Err(broken(format!(
            "its row is {} and the fold of its {} events is {}",
            row.stored,
            events.len(),
            instance.to_stored()
        )));
    }
    holds(instance.version == told.taken, Invariant::SagaIsFoldOfEvents, || {
        format!("{saga} has version {} after {} inputs", instance.version, told.taken)
    })?;
    exists_once(row, rows, &told, &events, coverage)?;
    if let (Some(_), Phase::Ended { end }) = (row.parent(), &instance.phase) {
        coverage.sometimes_of_a_saga(match end {
            SagaEnd::Cancelled => SagaMarker::ChildCancelled,
            SagaEnd::Completed | SagaEnd::Failed | SagaEnd::TimedOut => SagaMarker::ChildEnded,
        });
    }
    Ok(instance)
}

fn in_order(rows: &Rows, saga: SagaId) -> Vec<(&EventRow, &LookedAt)> {
    let of_saga = rows.events.values().filter(|row| row.saga == saga);
    let mut events: Vec<_> = of_saga.filter_map(|row| Some((row, row.looked_at.as_ref()?))).collect();
    events.sort_by_key(|(_, looked_at)| looked_at.seq);
    events
}

/// A saga is told that a task may have done something where one of its attempts may have.
fn knows_of_doubt(rows: &Rows, saga: SagaId, event: &EventRow, coverage: &mut Coverage) -> Checked {
    let Some(Input::TaskEnded {
        number,
        outcome: Outcome::Unsuccessful { may_have_run, .. },
    }) = event.input()
    else {
        return Ok(());
    };
    let mut forward = rows
        .tasks_of(saga)
        .filter(|task| purpose(task) == Some(Purpose::Forward));
    let is_it = |task: &&TaskRow| task.spec.saga.is_some_and(|place| place.number == number);
    // A child saga is none, and what could not be made is not there.
    let Some(task) = forward.find(is_it) else {
        return Ok(());
    };
    let tells = |outcome| matches!(outcome, AttemptOutcome::Failed | AttemptOutcome::NotFound);
    let is_in_doubt = task.attempts.iter().any(|attempt| !tells(attempt.outcome));
    if is_in_doubt && task.is_gone_on_with {
        coverage.sometimes_of_a_saga(SagaMarker::GivenWasInDoubt);
    }
    holds(is_in_doubt == may_have_run, Invariant::UndoneNewestFirst, || {
        format!(
            "{saga} is told {event:?} of a task with the attempts {:?}",
            task.attempts
        )
    })
}

/// One event once more.
fn refold(
    definition: &CompiledDefinition,
    before: Instance,
    event: &EventRow,
    looked_at: &LookedAt,
    told: &mut Told,
    coverage: &mut Coverage,
) -> Result<Instance, Violation> {
    let saga = before.id;
    let broken = |detail: String| Violation {
        invariant: Invariant::SagaIsFoldOfEvents,
        detail: format!("{saga}: {detail}"),
    };
    let Some(input) = event.input() else {
        // Of what its sender was told alone the data is not kept.
        return match &looked_at.refusal {
            Some(_) => Ok(before),
            None => Err(broken(format!("what was taken cannot be read: {event:?}"))),
        };
    };
    let stepped = step(
        definition,
        before.clone(),
        input.clone(),
        &SpecLimits::default(),
        looked_at.at,
    );
    match (stepped, &looked_at.refusal) {
        (Ok(step), None) => {
            told.taken += 1;
            let taken = Taken {
                before: &before,
                input: &input,
                after: &step.instance,
                effects: &step.effects,
                notes: &step.notes,
            };
            follows_the_rules(definition, &taken, told)?;
            told.hears(&taken)?;
            mark(&taken, coverage);
            Ok(step.instance)
        }
        (Err(rejection), Some(refusal)) if rejection.to_string() == *refusal => {
            mark_refusal(&rejection, &input, coverage);
            Ok(match input {
                // A child that cannot begin is over. One that was cancelled before is so already.
                Input::Started(_) if before.phase == Phase::Created => Instance {
                    phase: Phase::Ended { end: SagaEnd::Failed },
                    ..before
                },
                _ => before,
            })
        }
        (stepped, refusal) => Err(broken(format!(
            "{input:?} should come to {:?} in {:?}, and came to {refusal:?}",
            stepped.map(|step| step.instance.phase),
            before.phase,
        ))),
    }
}

impl Told {
    fn hears(&mut self, taken: &Taken<'_>) -> Checked {
        self.armed
            .observe(taken.before, taken.input, taken.after, taken.effects);
        for effect in taken.effects {
            match effect {
                Effect::IssueTask { number, purpose, .. } => {
                    *self
                        .issued
                        .entry((*number, *purpose == Purpose::Compensation))
                        .or_default() += 1;
                }
                Effect::StartSaga { number, .. } => self.children.push(*number),
                Effect::CancelTask { .. }
                | Effect::StartTimer { .. }
                | Effect::StopTimers { .. }
                | Effect::Finished { .. } => {}
            }
        }
        if let Input::CompensationEnded {
            number,
            outcome: Outcome::Succeeded { .. },
        } = taken.input
        {
            *self.undone.entry(*number).or_default() += 1;
        }
        if let Input::TimerFired(timer) = taken.input {
            let times = self.fired.entry(*timer).or_default();
            *times += 1;
            holds(*times == 1, Invariant::EventIsTakenOnceOrRefused, || {
                format!("{} has taken {timer:?} twice", taken.after.id)
            })?;
        }
        Ok(())
    }
}

/// What was issued is there, and nothing else is.
fn exists_once(
    row: &SagaRow,
    rows: &Rows,
    told: &Told,
    events: &[(&EventRow, &LookedAt)],
    coverage: &mut Coverage,
) -> Checked {
    let saga = row.id();
    let mut there: BTreeMap<(u32, bool), usize> = BTreeMap::new();
    let mut completed: BTreeMap<u32, usize> = BTreeMap::new();
    for task in rows.tasks_of(saga) {
        let number = task.spec.saga.map_or(0, |place| place.number);
        let undoes = purpose(task) == Some(Purpose::Compensation);
        *there.entry((number, undoes)).or_default() += 1;
        if undoes && task.life().status() == TaskStatus::Completed {
            *completed.entry(number).or_default() += 1;
        }
    }
    holds(there == told.issued, Invariant::WhatIsIssuedExistsOnce, || {
        format!("{saga} has issued {:?}, and there are {there:?}", told.issued)
    })?;
    holds(
        completed == told.undone && completed.values().all(|times| *times == 1),
        Invariant::UndoneNewestFirst,
        || format!("of {saga} {completed:?} were undone, and it knows of {:?}", told.undone),
    )?;
    for number in &told.children {
        let children = rows
            .children_of(saga)
            .filter(|child| child.parent() == Some((saga, *number)));
        let children = children.count();
        let was_told = events.iter().any(|(event, _)| {
            let input = event.input();
            matches!(input, Some(Input::TaskEnded { number: ended, .. }) if ended == *number)
        });
        if children == 0 && was_told {
            coverage.sometimes_of_a_saga(SagaMarker::ChildNotMade);
        }
        holds(
            children == 1 || (children == 0 && was_told),
            Invariant::WhatIsIssuedExistsOnce,
            || format!("{saga} has {children} children of the number {number}"),
        )?;
    }
    Ok(())
}

fn mark(taken: &Taken<'_>, coverage: &mut Coverage) {
    let Taken {
        before,
        input,
        after,
        notes,
        ..
    } = taken;
    let mut sometimes = |marker| coverage.sometimes_of_a_saga(marker);
    match input {
        Input::TimerFired(Timer::Saga) => sometimes(SagaMarker::SagaTimedOut),
        Input::TimerFired(Timer::After { .. }) => sometimes(SagaMarker::TimerFiredInTime),
        Input::TimerFired(Timer::DefaultAnswer { .. }) => sometimes(SagaMarker::DefaultAnswered),
        Input::CancelRequested if matches!(before.phase, Phase::Undoing { .. }) => {
            sometimes(SagaMarker::CancelledWhileUndoing);
        }
        Input::TaskEnded {
            outcome: Outcome::Unsuccessful { may_have_run: true, .. },
            ..
        } if after.stack.len() > before.stack.len() => sometimes(SagaMarker::DoubtUndone),
        Input::CompensationRetried { .. } => sometimes(SagaMarker::CompensationRetried),
        Input::CompensationSkipped { .. } => sometimes(SagaMarker::CompensationSkipped),
        Input::ParkedRetried { .. } => sometimes(SagaMarker::ParkedRetried),
        Input::ParkedDiscarded { .. } => sometimes(SagaMarker::ParkedDiscarded),
        _ => {}
    }
    if matches!(
        (&before.phase, &after.phase),
        (Phase::Undoing { .. }, Phase::Ended { .. })
    ) {
        sometimes(SagaMarker::Undone);
    }
    if matches!(after.phase, Phase::Stuck { .. }) {
        sometimes(SagaMarker::CompensationStuck);
    }
    if after.not_undone.len() > before.not_undone.len() {
        sometimes(SagaMarker::CompensationGivenUp);
    }
    for note in *notes {
        match note {
            Note::EventProcessed { id, .. } if id.starts_with("join/") => {
                let whole = before.joins.values().all(|joining| {
                    let outcomes = joining.outcomes.iter().flatten();
                    outcomes
                        .into_iter()
                        .all(|outcome| matches!(outcome, Outcome::Succeeded { .. }))
                });
                sometimes(if whole {
                    SagaMarker::AllJoined
                } else {
                    SagaMarker::SomeJoined
                });
            }
            Note::EventDeferred { .. } => sometimes(SagaMarker::EventDeferred),
            Note::Parked { .. } => sometimes(SagaMarker::Parked),
            _ => {}
        }
    }
    let retried = matches!(input, Input::ParkedRetried { .. } | Input::Retried { .. });
    if retried && after.live.len() > before.live.len() {
        sometimes(SagaMarker::IssuedAgain);
    }
}

fn mark_refusal(rejection: &Rejection, input: &Input, coverage: &mut Coverage) {
    match (rejection, input) {
        (Rejection::StaleTimer, _) => coverage.sometimes_of_a_saga(SagaMarker::StaleTimerRefused),
        (Rejection::NotLive { .. }, Input::TaskEnded { .. }) => {
            coverage.sometimes_of_a_saga(SagaMarker::LateEndRefused);
        }
        _ => {}
    }
}
