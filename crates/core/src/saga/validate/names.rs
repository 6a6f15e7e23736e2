//! Names that lead nowhere: of states, and of events that nothing takes.

use std::collections::BTreeSet;

use super::gaps::Gaps;
use super::variables::context_fields;
use super::ways::{active, starts, ways};
use crate::saga::definition::{Definition, State};
use crate::saga::fault::{Fault, Faults, shown};
use crate::saga::names::{EventName, StateName};

/// The most names that a message lists.
const LISTED_MAX_COUNT: usize = 20;

pub(super) fn check(definition: &Definition, gaps: &Gaps, errors: &mut Faults) {
    let initial = definition.states.get(&definition.initial);
    match initial {
        None => unknown_state(definition, "/initial", &definition.initial, errors),
        Some(State::Final { .. }) => errors.add(Fault::new("/initial", "must not be a final state")),
        Some(State::Active(_)) => {}
    }
    if let Some(timeout) = &definition.timeout
        && !definition.states.contains_key(&timeout.target)
    {
        unknown_state(definition, "/timeout/target", &timeout.target, errors);
    }
    for way in ways(definition) {
        if let Some(target) = way.candidate.course.target()
            && !definition.states.contains_key(target)
        {
            unknown_state(definition, &format!("{}/target", way.pointer), target, errors);
        }
    }
    reasons(definition, errors);
    let taken: BTreeSet<&EventName> = active(definition).flat_map(|(_, state)| state.on.keys()).collect();
    for start in starts(definition) {
        for event in start.action.events() {
            if gaps.spare_events() && !taken.contains(event) && gaps.spare_event(event) && !errors.is_full() {
                let message = format!("raises {}, which no state takes", shown(event.as_str()));
                let fault = Fault::new(start.pointer.clone(), message);
                errors.add(fault.meant(event.as_str(), taken.iter().map(|event| event.as_str())));
            }
        }
    }
    for (name, state) in active(definition).filter(|(name, _)| gaps.spare_events_of(name)) {
        if let Some(input) = &state.await_input
            && !state.on.contains_key(&input.event)
            && gaps.spare_event(&input.event)
        {
            let message = format!("is {}, which the state does not take", shown(input.event.as_str()));
            let fault = Fault::new(format!("/states/{name}/await_input/event"), message);
            errors.add(fault.meant(input.event.as_str(), state.on.keys().map(EventName::as_str)));
        }
        let reminders = state.await_input.iter().flat_map(|input| &input.reminders);
        let reminders = reminders.enumerate();
        for (index, reminder) in reminders.filter(|(_, reminder)| gaps.spare_event(&reminder.event)) {
            let pointer = format!("/states/{name}/await_input/reminders/{index}/event");
            let is_answer = state
                .await_input
                .as_ref()
                .is_some_and(|input| input.event == reminder.event);
            if is_answer {
                errors.add(Fault::new(
                    pointer,
                    "is what the answer raises: nobody would have answered",
                ));
            } else if !state.on.contains_key(&reminder.event) && !errors.is_full() {
                let message = format!("is {}, which the state does not take", shown(reminder.event.as_str()));
                let fault = Fault::new(pointer, message);
                errors.add(fault.meant(reminder.event.as_str(), state.on.keys().map(EventName::as_str)));
            }
        }
    }
}

/// Why one has failed is told by a field of its context.
fn reasons(definition: &Definition, errors: &mut Faults) {
    let known = context_fields(definition);
    for (name, state) in &definition.states {
        if let State::Final {
            reason: Some(field), ..
        } = state
            && !known.contains(&field.as_str())
            && !errors.is_full()
        {
            let message = format!("must be a field of the context, and {} is none", shown(field.as_str()));
            let fault = Fault::new(format!("/states/{name}/reason"), message);
            errors.add(fault.meant(field.as_str(), known.iter().copied()));
        }
    }
}

fn unknown_state(definition: &Definition, pointer: &str, name: &StateName, errors: &mut Faults) {
    if errors.is_full() {
        return;
    }
    let names = definition.states.keys().map(StateName::as_str);
    let mut message = format!("there is no state {}", shown(name.as_str()));
    if definition.states.len() <= LISTED_MAX_COUNT {
        let all: Vec<&str> = names.clone().collect();
        message = format!("{message}; there are {}", all.join(", "));
    }
    errors.add(Fault::new(pointer, message).meant(name.as_str(), names));
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::errors;

    #[test]
    fn targets_that_are_not_there_are_told_with_the_state_that_was_meant() {
        assert_eq!(
            errors(
                "timeout: {after_seconds: 1, target: Gone}
states:
  A:
    on: {x: {target: Faild}}
    after: [{seconds: 1, target: Failed}, {seconds: 2, target: Faield}]
    always: [{if: 'true', compensate: true, target: F}]
  Failed: {final: failed}
"
            ),
            [
                "/timeout/target there is no state Gone; there are A, Failed",
                "/states/A/on/x/0/target there is no state Faild; there are A, Failed; did you mean Failed?",
                "/states/A/after/1/target there is no state Faield; there are A, Failed; did you mean Failed?",
                "/states/A/always/0/target there is no state F; there are A, Failed",
                "/states/A/after/0 never fires: the timeout of the saga comes first",
                "/states/A/after/1 never fires: the timeout of the saga comes first",
            ]
        );
    }

    #[test]
    fn why_a_saga_has_failed_stands_in_its_context() {
        let states = |reason: &str| {
            errors(&format!(
                "context: {{cause: null}}
states:
  A: {{on: {{x: {{target: Failed}}}}}}
  Failed: {{final: failed, reason: {reason}}}
"
            ))
        };
        assert!(states("cause").is_empty());
        assert_eq!(
            states("case"),
            ["/states/Failed/reason must be a field of the context, and case is none; did you mean cause?"]
        );
    }

    #[test]
    fn a_saga_begins_in_a_state_that_is_there_and_no_end() {
        assert_eq!(
            errors("states: {A: {final: true}}"),
            ["/initial must not be a final state"]
        );
        assert_eq!(
            errors("states: {B: {on: {x: {target: C}}}, C: {final: true}}"),
            ["/initial there is no state A; there are B, C"]
        );
    }

    #[test]
    fn events_that_no_state_takes_are_told() {
        assert_eq!(
            errors(
                "states:
  A:
    on:
      paid:
        tasks: [{name: pay, raises: {success: paidd, failure: not_paid}}]
        target: B
    on_entry: [{name: split, for_each: '${ input.x }', join: {raises: joined}, raises: {failure: paid}}]
    await_input:
      event: pait
      prompt: Pay?
      reminders: [{seconds: 1, event: pait}, {seconds: 2, event: piad}, {seconds: 3, event: paid}]
  B: {final: true}
"
            ),
            [
                "/states/A/on/paid/0/tasks/0 raises paidd, which no state takes; did you mean paid?",
                "/states/A/on/paid/0/tasks/0 raises not_paid, which no state takes",
                "/states/A/on_entry/0 raises joined, which no state takes",
                "/states/A/await_input/event is pait, which the state does not take; did you mean paid?",
                "/states/A/await_input/reminders/0/event is what the answer raises: nobody would have answered",
                "/states/A/await_input/reminders/1/event is piad, which the state does not take; did you mean paid?",
                "/states/A/on/paid/0/tasks/0 would be cancelled at once, since the saga ends here: wait for it in a state of its own",
            ]
        );
    }
}
