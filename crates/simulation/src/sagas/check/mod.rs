//! The rules, as somebody reads them who has only the rows: after each commit, and when nothing happens any more.

mod fold;
mod given;
mod step;

use std::collections::BTreeMap;

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Instance, Phase, Purpose};
use orchestratum_core::task::TaskStatus;
use orchestratum_store::Error;
use orchestratum_store::memory::{Rows, SagaRow, TaskRow};

pub(super) use self::given::{as_by_a_claim, mark_refused};
use super::answers::Answer;
use super::world::World;
use crate::invariant::{Invariant, Violation};

pub(super) type Checked = Result<(), Violation>;

/// Breaks the rule unless it holds.
pub(super) fn holds(rule: bool, invariant: Invariant, detail: impl FnOnce() -> String) -> Checked {
    if rule {
        return Ok(());
    }
    Err(Violation {
        invariant,
        detail: detail(),
    })
}

pub(super) fn damaged(error: &Error) -> Violation {
    Violation {
        invariant: Invariant::SagaIsFoldOfEvents,
        detail: error.to_string(),
    }
}

fn is_live(task: &TaskRow) -> bool {
    matches!(task.life().status(), TaskStatus::Pending | TaskStatus::InProgress)
}

fn purpose(task: &TaskRow) -> Option<Purpose> {
    task.spec.saga.map(|place| place.purpose)
}

/// What must hold of a saga at every moment.
pub(super) fn now(rows: &Rows, saga: SagaId) -> Checked {
    let Some(row) = rows.sagas.get(&saga) else {
        return Ok(());
    };
    rows.tasks_of(saga).try_for_each(|task| stands(rows, task))?;
    let live: Vec<&TaskRow> = rows.tasks_of(saga).filter(|task| is_live(task)).collect();
    if row.status.is_over() {
        holds(live.is_empty(), Invariant::NothingOutlivesItsSaga, || {
            format!("{saga} is {:?} and has live tasks: {}", row.status, names(&live))
        })?;
        let timers: Vec<_> = rows.timers_of(saga).collect();
        return holds(timers.is_empty(), Invariant::NothingOutlivesItsSaga, || {
            format!("{saga} is {:?} and has timers: {timers:?}", row.status)
        });
    }
    let undoing = live
        .iter()
        .filter(|task| purpose(task) == Some(Purpose::Compensation))
        .count();
    holds(undoing == 0 || live.len() == 1, Invariant::UndoneNewestFirst, || {
        format!("{saga} undoes beside others: {}", names(&live))
    })
}

/// Its dispatch row and its attempts are what its status says.
fn stands(rows: &Rows, task: &TaskRow) -> Checked {
    let (id, life) = (task.spec.id, task.life());
    let waits = rows.dispatches.contains(&id);
    holds(
        waits == (life.status() == TaskStatus::Pending),
        Invariant::OneDispatchPerPendingTask,
        || {
            format!(
                "{id} is {}, and it is {waits} that it has a dispatch row",
                life.status()
            )
        },
    )?;
    let ended = (1..).zip(&task.attempts).all(|(number, ended)| ended.attempt == number);
    let running = u32::from(life.status() == TaskStatus::InProgress);
    let count = u32::try_from(task.attempts.len()).unwrap_or(u32::MAX) + running;
    holds(
        ended && life.attempt == count,
        Invariant::AttemptsAreGaplessAndBounded,
        || {
            format!(
                "{id} is {} in attempt {} after {:?}",
                life.status(),
                life.attempt,
                task.attempts
            )
        },
    )
}

fn names(tasks: &[&TaskRow]) -> String {
    let names = tasks.iter().map(|task| {
        let number = task.spec.saga.map_or(0, |place| place.number);
        format!("{} ({number}, {:?})", task.spec.name, task.life().status())
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Nothing happens any more: everything that arrived was looked at, is in its place, and nothing is waited for in vain.
pub(super) fn at_rest(world: &mut World) -> Checked {
    let rows = &world.rows;
    let unlooked = rows.unlooked(None, 10);
    holds(unlooked.is_empty(), Invariant::EverythingEnds, || {
        format!("nobody looks at what has reached {unlooked:?}")
    })?;
    let sagas: Vec<SagaId> = rows.sagas.keys().copied().collect();
    for saga in sagas {
        now(&world.rows, saga)?;
        let Some(row) = world.rows.sagas.get(&saga) else {
            continue;
        };
        let instance = fold::history(row, &world.rows, &mut world.coverage)?;
        waits_for_something(&world.rows, row, &instance)?;
    }
    answered(world)
}

/// Whatever it waits for is there, and not over.
fn waits_for_something(rows: &Rows, row: &SagaRow, instance: &Instance) -> Checked {
    let is_there = |number: u32, wanted: Purpose| {
        let mut tasks = rows.tasks_of(row.id());
        let is_task = tasks.any(|task| {
            let place = task.spec.saga;
            place.is_some_and(|place| place.number == number && place.purpose == wanted) && is_live(task)
        });
        let mut children = rows.children_of(row.id());
        is_task || children.any(|child| child.parent() == Some((row.id(), number)) && !child.status.is_over())
    };
    let vain = |number: u32| Violation {
        invariant: Invariant::EverythingEnds,
        detail: format!(
            "{} is {:?} and waits for {number}, which is over or was never there",
            row.id(),
            instance.phase
        ),
    };
    for number in instance.live.keys() {
        if !is_there(*number, Purpose::Forward) {
            return Err(vain(*number));
        }
    }
    match &instance.phase {
        Phase::Undoing { .. } => match instance.stack.last() {
            Some(newest) if is_there(newest.number, Purpose::Compensation) => Ok(()),
            newest => Err(vain(newest.map_or(0, |newest| newest.number))),
        },
        Phase::Ending { .. } | Phase::Settling { .. } => {
            holds(!instance.live.is_empty(), Invariant::EverythingEnds, || {
                format!("{} is {:?} and waits for nothing", row.id(), instance.phase)
            })
        }
        Phase::Created => Err(vain(0)),
        Phase::Running | Phase::Stuck { .. } | Phase::Ended { .. } => Ok(()),
    }
}

/// Every call was answered, and what it brought is in the history once, or refused.
fn answered(world: &World) -> Checked {
    let mut taken: BTreeMap<(SagaId, &str), (u32, u32)> = BTreeMap::new();
    for row in world.rows.events.values() {
        let (Some(id), Some(looked_at)) = (row.event_id(), &row.looked_at) else {
            continue;
        };
        let counts = taken.entry((row.saga, id)).or_default();
        match looked_at.refusal {
            None => counts.0 += 1,
            Some(_) => counts.1 += 1,
        }
    }
    for ((saga, id), (times, _)) in &taken {
        holds(*times <= 1, Invariant::EventIsTakenOnceOrRefused, || {
            format!("{saga} has taken {id:?} {times} times")
        })?;
    }
    for asked in &world.asked {
        let is_answered = !asked.answers.is_empty() || asked.may_stay_unanswered();
        holds(is_answered, Invariant::EventIsTakenOnceOrRefused, || {
            format!("nobody has answered {asked:?}")
        })?;
        let Some((saga, event)) = asked.event() else { continue };
        let (times, refusals) = taken.get(&(saga, event.id.as_str())).copied().unwrap_or_default();
        for answer in &asked.answers {
            let (is_so, told) = match answer {
                Answer::Taken | Answer::Repeated => (times == 1, "taken"),
                Answer::Refused(reason) => (refusals > 0 && !reason.is_empty(), "refused"),
                Answer::IdReused => (times == 1, "another one of its id"),
                Answer::VersionMismatch => (true, "of another version"),
                Answer::NotFound => (!world.rows.sagas.contains_key(&saga), "for nobody"),
            };
            holds(is_so, Invariant::EventIsTakenOnceOrRefused, || {
                format!(
                    "{:?} of {saga} was answered as {told}, and the history has it taken {times} times and refused {refusals} times",
                    event.id
                )
            })?;
        }
    }
    Ok(())
}

/// All was cancelled, and nothing keeps anything from its end.
pub(super) fn all_over(world: &mut World) -> Checked {
    for row in world.rows.sagas.values() {
        holds(row.status.is_over(), Invariant::EverythingEnds, || {
            format!("{} was cancelled and is {:?}: {}", row.id(), row.status, row.stored)
        })?;
    }
    Ok(())
}
