//! What may have been done and is not undone: tasks that may be in flight when all else is, and failures that end a saga without any
//! undoing.

use std::collections::{BTreeMap, BTreeSet};

use super::ways::{Reach, Start, Trigger, Way, active, starts, ways};
use crate::saga::definition::{self, Action, ChildSaga, Definition, End, State, TaskAction};
use crate::saga::fault::{Fault, Faults};
use crate::saga::names::{EventName, StateName};

/// What makes all be undone in a state.
#[derive(Default)]
struct Undoing<'a> {
    events: BTreeSet<&'a EventName>,
    /// A delay does, or a guard that holds as soon as it is entered.
    by_itself: bool,
}

pub(super) fn check(definition: &Definition, warnings: &mut Faults) {
    let (ways, starts) = (ways(definition), starts(definition));
    in_flight(definition, &ways, &starts, warnings);
    at_the_end(definition, &ways, &starts, warnings);
}

/// A task in flight when all is undone is cancelled; what it had done by then stays, unless it has a compensation of its own. A way
/// that only its own end takes finds it no longer in flight.
fn in_flight(definition: &Definition, ways: &[Way<'_>], starts: &[Start<'_>], warnings: &mut Faults) {
    let undoing = undoing(ways);
    let is_undone_in_time = definition.timeout.as_ref().is_some_and(|timeout| timeout.compensate);
    for start in starts {
        let Some(during) = start.during else { continue };
        if !start.action.compensation().is_empty() {
            continue;
        }
        let own = start.action.events();
        let is_undone = undoing
            .get(during)
            .is_some_and(|undoing| undoing.by_itself || undoing.events.iter().any(|event| !own.contains(event)));
        if is_undone || is_undone_in_time {
            let named = start.action.name();
            let message =
                format!("{named} has no compensation, and may be in flight in {during} when all else is undone");
            warnings.add(Fault::new(start.pointer.clone(), message));
        }
    }
}

/// A failure may also tell of a task of which nobody knows whether it was done. Where it leads to an end that counts as failed, all
/// that may be registered by then is to be undone. An event that a success raises as well leads on whatever becomes of the task.
fn at_the_end(definition: &Definition, ways: &[Way<'_>], starts: &[Start<'_>], warnings: &mut Faults) {
    let actions = || starts.iter().map(|start| start.action);
    let failures: BTreeSet<&EventName> = actions().flat_map(|action| action.otherwise().events()).collect();
    let successes: BTreeSet<&EventName> = actions().filter_map(success).collect();
    let registered = registered(definition, ways, starts);
    for way in ways {
        let Trigger::Event(event) = way.trigger else { continue };
        let is_failure = failures.contains(event) && !successes.contains(event);
        let undoes = way.candidate.course.compensates();
        if is_failure && !undoes && registered.contains(way.from) && has_failed(definition, way.to()) {
            let message = "ends the saga on a failure, and undoes nothing without compensate: what was done stays, also by a task \
                           of which nobody knows whether it was done";
            warnings.add(Fault::new(way.pointer.clone(), message));
        }
    }
}

/// The states in which something may be registered. What compensates leaves nothing behind.
fn registered<'a>(definition: &'a Definition, ways: &[Way<'a>], starts: &[Start<'a>]) -> BTreeSet<&'a StateName> {
    let going_on = || ways.iter().filter(|way| !way.candidate.course.compensates());
    let by_ways = going_on().filter(|way| !way.candidate.compensation.is_empty());
    let by_tasks = starts.iter().filter(|start| is_undone(start.action));
    let on_exit = active(definition).filter(|(_, state)| state.on_exit.iter().any(is_undone));
    let exits: BTreeSet<&StateName> = on_exit.map(|(name, _)| name).collect();
    let behind_exits = going_on().filter(|way| exits.contains(way.from));
    let begins = by_ways.chain(behind_exits).map(Way::to);
    Reach::of(going_on()).from(begins.chain(by_tasks.filter_map(|start| start.during)))
}

fn is_undone(action: &Action) -> bool {
    !action.compensation().is_empty()
}

fn has_failed(definition: &Definition, name: &StateName) -> bool {
    matches!(definition.states.get(name), Some(State::Final { end: End::Failed, .. }))
}

fn success(action: &Action) -> Option<&EventName> {
    match action {
        Action::Task(TaskAction { reach, .. }) => match reach {
            definition::Reach::Once { raises } => raises.success.as_ref(),
            definition::Reach::ForEach { join, .. } => Some(&join.raises),
        },
        Action::Saga(ChildSaga { raises, .. }) => raises.success.as_ref(),
    }
}

fn undoing<'a>(ways: &[Way<'a>]) -> BTreeMap<&'a StateName, Undoing<'a>> {
    let mut undoing: BTreeMap<&StateName, Undoing<'_>> = BTreeMap::new();
    for way in ways {
        if way.candidate.course.compensates() {
            let here = undoing.entry(way.from).or_default();
            match way.trigger {
                Trigger::Event(event) => {
                    here.events.insert(event);
                }
                Trigger::After(_) | Trigger::Always => here.by_itself = true,
            }
        }
    }
    undoing
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::warnings;

    #[test]
    fn a_task_in_flight_where_all_may_be_undone_is_a_warning_without_a_compensation() {
        assert_eq!(
            warnings(
                "states:
  A:
    on:
      x:
        tasks:
          - {name: a, raises: {failure: failed}}
          - {name: b, raises: {failure: other}}
          - {name: c, raises: {failure: other}, compensation: [{name: undo}]}
        target: B
  B: {on: {failed: {compensate: true, target: C}, other: {target: C}}}
  C: {final: failed}
"
            ),
            [
                "/states/A/on/x/0/tasks/1 b has no compensation, and may be in flight in B when all else is undone"
                    .to_owned(),
                format!("/states/B/on/other/0 {KEPT}"),
            ]
        );
    }

    const KEPT: &str = "ends the saga on a failure, and undoes nothing without compensate: what was done stays, also by a task of \
                        which nobody knows whether it was done";

    #[test]
    fn a_failure_that_ends_all_while_something_may_be_registered_is_a_warning() {
        assert_eq!(
            warnings(
                "states:
  A: {on: {x: {target: B}, y: {compensation: [{name: undo}], target: B}, z: {target: F}}}
  B:
    on_entry: [{name: own, raises: {failure: own_failed}, compensation: [{name: undo}]}]
    on:
      own_failed: {target: Z}
      go: {target: C}
      back: {compensate: true, target: F}
  C:
    on_entry: [{name: later, raises: {success: Done, failure: later_failed, cancelled: stopped}}]
    on: {later_failed: {target: Z}, stopped: {target: Done}, Done: {target: D}}
  D:
    on_entry: [{name: mail, raises: {success: mailed, failure: mailed}}]
    on: {mailed: {target: Z}}
  F:
    on_entry: [{name: first, raises: {failure: first_failed}}]
    on: {first_failed: {target: Z}, go: {target: Done}}
  Z: {final: failed}
  Done: {final: true}
"
            ),
            [
                format!("/states/B/on/own_failed/0 {KEPT}"),
                format!("/states/C/on/later_failed/0 {KEPT}"),
            ]
        );
    }

    #[test]
    fn what_is_registered_on_an_exit_counts_behind_it() {
        let states = "states:
  A:
    on: {x: {target: B}}
    on_exit: [{name: tell, raises: {failure: lost}, compensation: [{name: undo}]}]
  B: {on: {lost: {target: Z}, y: {compensate: true, target: Z}}}
  Z: {final: failed}
";
        assert_eq!(warnings(states), [format!("/states/B/on/lost/0 {KEPT}")]);
        let undone = states.replace("lost: {target: Z}", "lost: {compensate: true, target: Z}");
        assert_eq!(warnings(&undone), [""; 0]);
    }
}
