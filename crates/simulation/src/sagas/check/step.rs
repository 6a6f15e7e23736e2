//! One step held against the rules, whatever it was that decided it.

use std::collections::BTreeSet;

use orchestratum_core::saga::{
    CompiledDefinition, Effect, Input, Instance, LiveEnd, Note, OnCompensationFailure, Outcome, Phase, Purpose,
    SagaEnd, Timer, Undo,
};
use orchestratum_core::task::TaskDraft;

use super::fold::Told;
use super::{Checked, Invariant, holds};
use crate::invariant::Violation;

/// What a step came to.
pub(super) struct Taken<'a> {
    pub(super) before: &'a Instance,
    pub(super) input: &'a Input,
    pub(super) after: &'a Instance,
    pub(super) effects: &'a [Effect],
    pub(super) notes: &'a [Note],
}

pub(super) fn follows_the_rules(definition: &CompiledDefinition, taken: &Taken<'_>, told: &mut Told) -> Checked {
    taken.belongs()?;
    taken.undoes_in_order(definition, told)?;
    taken.waits_for_what_is_live()?;
    taken.begins_nothing_meanwhile()?;
    taken.joins(told)?;
    taken.does_once(told)
}

const fn goes_back(phase: &Phase) -> bool {
    matches!(
        phase,
        Phase::Settling { .. } | Phase::Undoing { .. } | Phase::Stuck { .. }
    )
}

const fn is_decided(phase: &Phase) -> bool {
    matches!(phase, Phase::Ending { .. } | Phase::Ended { .. })
}

/// Whether the first of them are of these names.
fn begins_with(added: &[Undo], names: &[String]) -> bool {
    added.len() >= names.len() && added.iter().zip(names).all(|(undo, name)| undo.task.name == *name)
}

impl Taken<'_> {
    fn broken(&self, invariant: Invariant, detail: &str) -> Violation {
        let (before, after) = (self.before.to_stored(), self.after.to_stored());
        Violation {
            invariant,
            detail: format!(
                "{}: {detail}: {:?} led from {before} to {after}",
                self.after.id, self.input
            ),
        }
    }

    fn holds(&self, rule: bool, invariant: Invariant, detail: &str) -> Checked {
        if rule {
            Ok(())
        } else {
            Err(self.broken(invariant, detail))
        }
    }

    /// What it is about is still the saga's: nothing that is over is taken again, and no timer of a state that was left.
    fn belongs(&self) -> Checked {
        match self.input {
            Input::TaskEnded { number, .. } => self.holds(
                self.before.live.contains_key(number) && !self.after.live.contains_key(number),
                Invariant::UndoneNewestFirst,
                "the end of what is not live was taken",
            ),
            Input::TimerFired(
                Timer::After { entry, .. } | Timer::DefaultAnswer { entry } | Timer::Reminder { entry, .. },
            ) => self.holds(
                *entry == self.before.entry,
                Invariant::EventIsTakenOnceOrRefused,
                "a timer of another entry was taken",
            ),
            _ => Ok(()),
        }
    }

    /// What was there stays in its order; the newest alone goes, and only when it was undone, skipped or given up; what an end
    /// leaves to be undone is put on top.
    fn undoes_in_order(&self, definition: &CompiledDefinition, told: &Told) -> Checked {
        let rule = Invariant::UndoneNewestFirst;
        let mut left: &[Undo] = &self.before.stack;
        if let Some(number) = self.resolved(definition) {
            let newest = left.last().map(|undo| undo.number);
            self.holds(newest == Some(number), rule, "another than the newest was undone")?;
            left = &left[..left.len() - 1];
        }
        let was_going_back = goes_back(&self.before.phase);
        if is_decided(&self.after.phase) && self.after.stack.is_empty() {
            // A way forward to an end leaves what was done as it is.
            let is_cancelled = matches!(
                self.after.phase,
                Phase::Ended {
                    end: SagaEnd::Cancelled
                }
            );
            let must_be_undone = was_going_back || is_cancelled;
            return self.holds(
                left.is_empty() || !must_be_undone,
                rule,
                "it ended, and not all was undone",
            );
        }
        if matches!(self.before.phase, Phase::Ending { .. }) {
            return self.holds(self.after.stack.is_empty(), rule, "what is over is to be undone");
        }
        self.holds(
            self.after.stack.starts_with(left),
            rule,
            "what is to be undone has changed",
        )?;
        let added = &self.after.stack[left.len()..];
        let numbers: Vec<u32> = self.after.stack.iter().map(|undo| undo.number).collect();
        self.holds(
            numbers.is_sorted_by(|one, next| one < next),
            rule,
            "newer ones lie below older ones",
        )?;
        let armed = told.armed.options(definition.definition(), self.before, self.input);
        let armed: Vec<&Vec<String>> = armed.iter().filter(|names| begins_with(added, names)).collect();
        self.holds(!armed.is_empty(), rule, "what may have been done is not to be undone")?;
        let may_add_more = !was_going_back || self.after.entry > self.before.entry;
        self.holds(
            may_add_more || armed.iter().any(|names| names.len() == added.len()),
            rule,
            "more is to be undone on the way back",
        )?;
        let rendered = self.rendered();
        let is_as_issued = armed.iter().any(|names| names.is_empty())
            || (added.len() >= rendered.len() && added.iter().zip(rendered).all(|(undo, task)| undo.task == *task));
        self.holds(
            is_as_issued,
            rule,
            "something is undone with other values than it was issued with",
        )
    }

    /// The compensation that is done with.
    fn resolved(&self, definition: &CompiledDefinition) -> Option<u32> {
        match self.input {
            Input::CompensationSkipped { number }
            | Input::CompensationEnded {
                number,
                outcome: Outcome::Succeeded { .. },
            } => Some(*number),
            Input::CompensationEnded {
                number,
                outcome: Outcome::Unsuccessful { .. },
            } => {
                (definition.definition().on_compensation_failure == OnCompensationFailure::Continue).then_some(*number)
            }
            _ => None,
        }
    }

    /// What undoes what has ended, with the values that it had when it was issued.
    fn rendered(&self) -> &[TaskDraft] {
        let Input::TaskEnded { number, .. } = self.input else {
            return &[];
        };
        let live = self.before.live.get(number);
        live.map_or(&[], |live| &live.compensation)
    }

    /// What is live is over before anything is undone, and before the end.
    fn waits_for_what_is_live(&self) -> Checked {
        let is_over = self.after.live.is_empty();
        match self.after.phase {
            Phase::Undoing { .. } | Phase::Stuck { .. } => {
                self.holds(is_over, Invariant::UndoneNewestFirst, "it undoes beside what is live")
            }
            Phase::Ended {
                end: SagaEnd::Cancelled,
            } => self.holds(
                is_over,
                Invariant::UndoneNewestFirst,
                "it is cancelled beside what is live",
            ),
            Phase::Ended { .. } => self.holds(is_over, Invariant::NothingOutlivesItsSaga, "it ended with what is live"),
            Phase::Created | Phase::Running | Phase::Ending { .. } | Phase::Settling { .. } => Ok(()),
        }
    }

    /// Nothing forward begins between the moment at which all is to be undone and the entry of the target; and undoing begins
    /// when all that was live is over, with the newest.
    fn begins_nothing_meanwhile(&self) -> Checked {
        let rule = Invariant::UndoneNewestFirst;
        let stays_back = goes_back(&self.before.phase) && goes_back(&self.after.phase);
        let is_entered = self.after.entry > self.before.entry;
        for effect in self.effects {
            let (number, purpose) = match effect {
                Effect::IssueTask { number, purpose, .. } => (number, *purpose),
                Effect::StartSaga { number, .. } => (number, Purpose::Forward),
                _ => continue,
            };
            match purpose {
                Purpose::Forward => {
                    self.holds(!stays_back || is_entered, rule, "something begins on the way back")?;
                }
                Purpose::Compensation => {
                    self.holds(
                        self.after.live.is_empty(),
                        rule,
                        "something is undone beside what is live",
                    )?;
                    let newest = self.after.stack.last().map(|undo| undo.number);
                    self.holds(newest == Some(*number), rule, "another than the newest is undone")?;
                }
            }
        }
        Ok(())
    }

    /// A join is over when all of it has ended, and not before; and then raises one event.
    fn joins(&self, told: &mut Told) -> Checked {
        let rule = Invariant::JoinFiresOnce;
        let members = |instance: &Instance, join: u32| {
            let of_join = instance.live.values().filter(|live| match live.end {
                LiveEnd::Joins { join: of, .. } => of == join,
                LiveEnd::Raises(_) => false,
            });
            of_join.count()
        };
        let fired: BTreeSet<&str> = self.ids().filter(|id| id.starts_with("join/")).collect();
        for join in self.before.joins.keys() {
            let is_open = self.after.joins.contains_key(join);
            let left = members(self.after, *join);
            if is_open {
                self.holds(left > 0, rule, "a join waits for nothing")?;
            } else if !goes_back(&self.after.phase) && !is_decided(&self.after.phase) {
                self.holds(left == 0, rule, "a join fired, and not all had ended")?;
            }
            if is_open {
                let id = format!("join/{join}");
                self.holds(!fired.contains(id.as_str()), rule, "a join fired, and is open")?;
            }
        }
        for id in self.ids().filter(|id| id.starts_with("join/")) {
            let times = told.done.get(id).copied().unwrap_or(0);
            self.holds(times == 0, rule, "a join fired again")?;
        }
        Ok(())
    }

    /// The ids of what was done with in this step: taken by a state, or refused by it.
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().filter_map(|note| match note {
            Note::EventProcessed { id, .. } | Note::EventRejected { id, .. } | Note::EventIgnored { id, .. } => {
                Some(id.as_str())
            }
            _ => None,
        })
    }

    /// Nothing is done with twice, neither in one step nor in two.
    fn does_once(&self, told: &mut Told) -> Checked {
        for id in self.ids() {
            let times = told.done.entry(id.to_owned()).or_default();
            *times += 1;
            let rule = if id.starts_with("join/") {
                Invariant::JoinFiresOnce
            } else {
                Invariant::EventIsTakenOnceOrRefused
            };
            holds(*times == 1, rule, || {
                format!("{} has done with {id:?} {times} times: {:?}", self.after.id, self.input)
            })?;
        }
        Ok(())
    }
}
