//! An instance that goes on by another version of its definition.
//!
//! Versions never change under an instance: a person, or a program, moves it, and is told first what that loses. Its state gets
//! the timers of the new version from now on; what the state starts when it is entered is not started again, and what waits is
//! looked at with the next input.

use std::collections::{BTreeMap, BTreeSet};

use super::compiled::{CompiledDefinition, State};
use super::definition::{self, Definition};
use super::fault::{Fault, Faults};
use super::instance::{Cause, Instance, LiveEnd, Phase, Then, Timer};
use super::names::{EventName, StateName};
use super::step::{Effect, timers_of_entry};
use crate::task::json_pointer;
use crate::time::Timestamp;

/// What a migration comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Migration {
    pub instance: Instance,
    pub effects: Vec<Effect>,
    /// What begins anew, or means nothing in the new version, in words for whoever decides.
    pub losses: Vec<String>,
}

/// Moves an instance. `states` names those that are called otherwise in the new version, or whose place another takes.
///
/// # Errors
/// Every name that leads nowhere, with a pointer below `/states`, and an instance that cannot be moved.
pub fn migrate(
    instance: Instance,
    from: &Definition,
    to: &CompiledDefinition,
    states: &BTreeMap<StateName, StateName>,
    now: Timestamp,
) -> Result<Migration, Faults> {
    let mut faults = Faults::default();
    if from.name != to.definition().name {
        let message = format!(
            "is of the definition {}, and not of {}",
            from.name,
            to.definition().name
        );
        faults.add(Fault::new("", message));
    }
    names(from, to.definition(), states, &mut faults);
    let mut moving = Moving {
        from,
        to,
        states,
        migration: Migration {
            instance,
            effects: Vec::new(),
            losses: Vec::new(),
        },
        faults,
    };
    moving.phase(now);
    if !moving.faults.is_empty() {
        return Err(moving.faults);
    }
    moving.timeout(now);
    moving.lose_events();
    moving.lose_parked();
    moving.lose_context();
    moving.migration.instance.version += 1;
    Ok(moving.migration)
}

fn names(from: &Definition, to: &Definition, states: &BTreeMap<StateName, StateName>, faults: &mut Faults) {
    for (old, new) in states {
        let pointer = format!("/states{}", json_pointer(old.as_str()));
        if !from.states.contains_key(old) {
            let names = from.states.keys().map(StateName::as_str);
            let fault = Fault::new(
                pointer.clone(),
                format!("there is no state {old} in the version it comes from"),
            );
            faults.add(fault.meant(old.as_str(), names));
        }
        if !to.states.contains_key(new) {
            let names = to.states.keys().map(StateName::as_str);
            let fault = Fault::new(pointer, format!("there is no state {new} in the version it goes to"));
            faults.add(fault.meant(new.as_str(), names));
        }
    }
}

struct Moving<'a> {
    from: &'a Definition,
    to: &'a CompiledDefinition,
    states: &'a BTreeMap<StateName, StateName>,
    migration: Migration,
    faults: Faults,
}

impl Moving<'_> {
    fn phase(&mut self, now: Timestamp) {
        let phase = self.migration.instance.phase.clone();
        match phase {
            Phase::Created => self.faults.add(Fault::new("", "has not started")),
            Phase::Ending { .. } | Phase::Ended { .. } => self.faults.add(Fault::new("", "is over")),
            Phase::Running => self.running(now),
            Phase::Settling { then } => self.undoing(then, |then| Phase::Settling { then }),
            Phase::Undoing { then } => self.undoing(then, |then| Phase::Undoing { then }),
            Phase::Stuck { error, then } => self.undoing(then, |then| Phase::Stuck { error, then }),
        }
    }

    /// The state that takes the place of one, if there is one.
    fn mapped(&mut self, old: &StateName) -> Option<StateName> {
        let new = self.states.get(old).unwrap_or(old);
        if self.to.state(new).is_some() {
            return Some(new.clone());
        }
        // One that is named has been told.
        if !self.states.contains_key(old) {
            let names = self.to.definition().states.keys().map(StateName::as_str);
            let message =
                format!("there is no state {old} in the version it goes to: name the one that takes its place");
            let fault = Fault::new(format!("/states{}", json_pointer(old.as_str())), message);
            self.faults.add(fault.meant(old.as_str(), names));
        }
        None
    }

    fn running(&mut self, now: Timestamp) {
        let old = self.migration.instance.state.clone();
        let Some(new) = self.mapped(&old) else { return };
        let state = match self.to.state(&new) {
            Some(State::Active(state)) => state,
            Some(State::Final(_)) | None => {
                let message = format!("{new} is an end: an event leads there, and no migration");
                let pointer = format!("/states{}", json_pointer(old.as_str()));
                self.faults.add(Fault::new(pointer, message));
                return;
            }
        };
        let Migration {
            instance,
            effects,
            losses,
        } = &mut self.migration;
        effects.push(Effect::StopTimers { entry: instance.entry });
        instance.entry += 1;
        let started = timers_of_entry(state, instance.entry, now);
        if !started.is_empty() {
            losses.push(format!("the timers of {new} begin now"));
        } else if has_timers(self.from, &old) {
            losses.push(format!("the timers of {old} are stopped, and {new} has none"));
        }
        effects.extend(started);
        let awaiting = state.question.as_ref().map(|question| question.input.event.clone());
        if let Some(event) = &instance.awaiting
            && awaiting.as_ref() != Some(event)
        {
            losses.push(format!("nobody is asked for {event} any more"));
        }
        instance.awaiting = awaiting;
        instance.state = new;
    }

    fn undoing(&mut self, then: Then, phase: impl FnOnce(Then) -> Phase) {
        let old = self.migration.instance.state.clone();
        let new = self.mapped(&old);
        let then = match then {
            Then::Cancelled => Some(Then::Cancelled),
            Then::Enter { target, event } => self.mapped(&target).map(|target| Then::Enter { target, event }),
        };
        if let (Some(new), Some(then)) = (new, then) {
            self.migration.instance.state = new;
            self.migration.instance.phase = phase(then);
        }
    }

    /// That of the whole begins anew where the new version has another: nobody here knows when the saga began.
    fn timeout(&mut self, now: Timestamp) {
        let after = |definition: &Definition| definition.timeout.as_ref().map(|timeout| timeout.after);
        let (old, new) = (after(self.from), after(self.to.definition()));
        if old == new || self.migration.instance.is_timed_out {
            return;
        }
        let effects = &mut self.migration.effects;
        effects.push(Effect::StopTimers {
            entry: Timer::Saga.entry(),
        });
        self.migration.losses.push(match new {
            None => "the saga has no timeout any more".to_owned(),
            Some(after) => {
                effects.push(Effect::StartTimer {
                    timer: Timer::Saga,
                    at: now + after.duration(),
                });
                "the timeout of the saga begins now".to_owned()
            }
        });
    }

    /// What is raised, or waits, and nothing in the new version takes.
    fn lose_events(&mut self) {
        let states = self.to.definition().states.values();
        let taken: BTreeSet<&EventName> = states.flat_map(definition::State::takes).collect();
        let Migration { instance, losses, .. } = &mut self.migration;
        let mut lost = |what: String, event: &EventName| {
            if !taken.contains(event) {
                losses.push(format!("{what} {event}, which no state takes"));
            }
        };
        for (number, live) in &instance.live {
            match &live.end {
                LiveEnd::Raises(events) => events
                    .all()
                    .for_each(|event| lost(format!("task {number} may raise"), event)),
                LiveEnd::Joins { .. } => {}
            }
        }
        for (number, joining) in &instance.joins {
            let events = std::iter::once(&joining.join.raises).chain(joining.raises.events());
            events.for_each(|event| lost(format!("the tasks of list {number} may raise"), event));
        }
        for event in &instance.deferred {
            lost(format!("the event {} that waits is", event.id), &event.name);
        }
    }

    /// What belongs to the state that was left with the old version.
    fn lose_parked(&mut self) {
        let Migration { instance, losses, .. } = &mut self.migration;
        for parked in &instance.parked {
            let entry = match &parked.cause {
                Cause::Timer(
                    Timer::After { entry, .. } | Timer::DefaultAnswer { entry } | Timer::Reminder { entry, .. },
                )
                | Cause::Entry { entry, .. } => *entry,
                Cause::Timer(Timer::Saga) | Cause::Event(_) | Cause::Task { .. } | Cause::Join { .. } => continue,
            };
            if entry != instance.entry {
                losses.push(format!(
                    "what waits for a decision under the number {} means nothing any more",
                    parked.number
                ));
            }
        }
    }

    fn lose_context(&mut self) {
        let Migration { instance, losses, .. } = &mut self.migration;
        for name in self.to.definition().context.keys() {
            if !instance.context.contains_key(name) {
                losses.push(format!(
                    "the context has no {name}, with which sagas of the new version begin"
                ));
            }
        }
    }
}

fn has_timers(definition: &Definition, name: &StateName) -> bool {
    match definition.states.get(name) {
        Some(definition::State::Active(state)) => {
            let input = state.await_input.as_ref();
            let waits = input.is_some_and(|input| input.default_after.is_some() || !input.reminders.is_empty());
            waits || !state.after.is_empty()
        }
        Some(definition::State::Final { .. }) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::JsonText;
    use crate::identity::SagaId;
    use crate::saga::instance::{Event, Outcome, SagaStatus};
    use crate::saga::source::read;
    use crate::saga::step::{Input, Step, step};
    use crate::task::{ErrorKind, SpecLimits, TaskError};

    const OLD: &str = "name: test
initial: A
timeout: {after_seconds: 100, target: F}
unhandled: defer
states:
  A:
    on:
      start:
        compensation: [{name: undo}]
        tasks: [{name: a, raises: {success: done, failure: failed}}]
        target: B
  B:
    await_input: {event: approved, prompt: Go on?}
    after: [{seconds: 5, set: {x: '${ context.y }'}, target: F}]
    on: {done: {target: F}, failed: {compensate: true, target: F}, approved: {target: F}}
  D: {on: {later: {target: F}}}
  F: {final: failed}
";

    const NEW: &str = "name: test
initial: A
timeout: {after_seconds: 200, target: End}
context: {n: 1}
states:
  A: {on: {start: {target: C}}}
  C:
    after: [{seconds: 7, target: End}]
    on: {done: {target: End}}
  End: {final: failed}
";

    fn definition(text: &str) -> Definition {
        read(text).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn compiled(text: &str) -> CompiledDefinition {
        CompiledDefinition::new(definition(text)).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn after(instance: Instance, text: &str, inputs: Vec<Input>) -> Instance {
        let definition = compiled(text);
        inputs.into_iter().fold(instance, |instance, input| {
            let stepped = step(&definition, instance, input, &SpecLimits::default(), Timestamp::EPOCH);
            let Step { instance, .. } = stepped.unwrap_or_else(|rejection| panic!("{rejection}"));
            instance
        })
    }

    fn event(name: &str) -> Event {
        Event {
            id: format!("id of {name}"),
            name: name.parse().expect("a name"),
            data: JsonText::null(),
        }
    }

    fn instance() -> Instance {
        let id = SagaId(Uuid::nil());
        Instance::new(&definition(OLD), id, "c".to_owned(), JsonText::null())
    }

    fn moved(instance: Instance, states: &[(&str, &str)]) -> Result<Migration, Vec<String>> {
        let name = |name: &str| name.parse::<StateName>().expect("a name");
        let states = states.iter().map(|(old, new)| (name(old), name(new))).collect();
        let now = Timestamp::from_micros(1_000_000);
        migrate(instance, &definition(OLD), &compiled(NEW), &states, now)
            .map_err(|faults| faults.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_that_runs_goes_on_in_the_state_that_takes_the_place_of_its_own() {
        let late = Input::TimerFired(Timer::After { entry: 2, index: 0 });
        let waits = vec![Input::Started(event("start")), Input::EventRaised(event("later")), late];
        let Migration {
            instance,
            effects,
            losses,
        } = moved(after(instance(), OLD, waits), &[("B", "C")]).expect("moved");
        assert_eq!((instance.state.as_str(), instance.entry, instance.version), ("C", 3, 4));
        assert_eq!(instance.awaiting, None);
        let at = |seconds: i64| Timestamp::from_micros((seconds + 1) * 1_000_000);
        assert_eq!(
            effects,
            [
                Effect::StopTimers { entry: 2 },
                Effect::StartTimer {
                    timer: Timer::After { entry: 3, index: 0 },
                    at: at(7)
                },
                Effect::StopTimers { entry: 0 },
                Effect::StartTimer {
                    timer: Timer::Saga,
                    at: at(200)
                },
            ]
        );
        assert_eq!(
            losses,
            [
                "the timers of C begin now",
                "nobody is asked for approved any more",
                "the timeout of the saga begins now",
                "task 2 may raise failed, which no state takes",
                "the event id of later that waits is later, which no state takes",
                "what waits for a decision under the number 3 means nothing any more",
                "the context has no n, with which sagas of the new version begin",
            ]
        );
        let done = Input::TaskEnded {
            number: 2,
            outcome: Outcome::Succeeded {
                output: JsonText::null(),
            },
        };
        let instance = after(instance, NEW, vec![done]);
        assert_eq!(
            (instance.state.as_str(), instance.status()),
            ("End", SagaStatus::Failed)
        );
    }

    #[test]
    fn one_that_is_being_undone_goes_to_where_the_new_version_says() {
        let failed = Outcome::Unsuccessful {
            error: TaskError::new(ErrorKind::Failed, "no"),
            may_have_run: false,
        };
        let undoing = vec![
            Input::Started(event("start")),
            Input::TaskEnded {
                number: 2,
                outcome: failed,
            },
        ];
        let instance = after(instance(), OLD, undoing);
        assert_eq!(
            moved(instance.clone(), &[]).expect_err("two states are missing"),
            [
                "/states/B there is no state B in the version it goes to: name the one that takes its place",
                "/states/F there is no state F in the version it goes to: name the one that takes its place",
            ]
        );
        let Migration { instance, .. } = moved(instance, &[("B", "C"), ("F", "End")]).expect("moved");
        assert_eq!(instance.status(), SagaStatus::Compensating);
        let undone = Input::CompensationEnded {
            number: 1,
            outcome: Outcome::Succeeded {
                output: JsonText::null(),
            },
        };
        let instance = after(instance, NEW, vec![undone]);
        assert_eq!(
            (instance.state.as_str(), instance.status()),
            ("End", SagaStatus::Failed)
        );
    }

    #[test]
    fn names_that_lead_nowhere_and_sagas_that_are_over_are_told() {
        let running = after(instance(), OLD, vec![Input::Started(event("start"))]);
        assert_eq!(
            moved(running.clone(), &[("B", "Ende"), ("X", "C")]).expect_err("wrong names"),
            [
                "/states/B there is no state Ende in the version it goes to; did you mean End?",
                "/states/X there is no state X in the version it comes from",
            ]
        );
        assert_eq!(
            moved(running.clone(), &[("B", "End")]).expect_err("an end"),
            ["/states/B End is an end: an event leads there, and no migration"]
        );
        assert_eq!(moved(instance(), &[]).expect_err("new"), ["has not started"]);
        let done = Input::TaskEnded {
            number: 2,
            outcome: Outcome::Succeeded {
                output: JsonText::null(),
            },
        };
        let over = after(running, OLD, vec![done]);
        assert_eq!(moved(over, &[("F", "End")]).expect_err("over"), ["is over"]);
    }
}
