//! Circles on which a saga starts another one each time round, and waits for none of them.

use std::collections::BTreeSet;

use super::hasty::SHORT;
use super::ways::{Reach, Start, Trigger, Way, active, starts, ways};
use crate::saga::definition::{Action, Definition};
use crate::saga::fault::{Fault, Faults};
use crate::saga::names::{EventName, StateName};

/// Whoever starts more sagas than this is told of the first.
const LOOKED_AT: usize = 100;

/// A guard may end such a circle, and somebody may have to be waited for, or time. Otherwise there are more children with each round,
/// all at a time.
pub(super) fn check(definition: &Definition, warnings: &mut Faults) {
    let starts = starts(definition);
    let children = starts.iter().filter(|start| matches!(start.action, Action::Saga(_)));
    let children: Vec<&Start<'_>> = children.take(LOOKED_AT).collect();
    if children.is_empty() {
        return;
    }
    let ways = ways(definition);
    let asked: BTreeSet<(&StateName, &EventName)> = active(definition)
        .filter_map(|(name, state)| Some((name, &state.await_input.as_ref()?.event)))
        .collect();
    for child in children {
        let awaited: BTreeSet<&EventName> = child.action.events().into_iter().collect();
        let raised = starts.iter().flat_map(|start| start.action.events());
        let raised: BTreeSet<&EventName> = raised.filter(|event| !awaited.contains(event)).collect();
        let goes_by_itself = |way: &&Way<'_>| match way.trigger {
            Trigger::Event(event) => raised.contains(event) && !asked.contains(&(way.from, event)),
            Trigger::After(delay) => delay.duration() < SHORT,
            Trigger::Always => true,
        };
        let going_on = ways.iter().filter(|way| {
            let course = &way.candidate.course;
            way.candidate.guard.is_none() && course.target().is_some() && !course.compensates()
        });
        let round: Vec<&Way<'_>> = going_on.filter(goes_by_itself).collect();
        let circles = Reach::of(round.iter().copied()).circles();
        if round.iter().any(|way| circles.has(way) && starts_it(way, child)) {
            let message = format!(
                "{} is started each time round, and nothing waits for its end or for anybody: there are more of them with each round",
                child.action.name()
            );
            warnings.add(Fault::new(child.pointer.clone(), message));
        }
    }
}

/// Whether whoever goes this way starts it.
fn starts_it(way: &Way<'_>, start: &Start<'_>) -> bool {
    let list = start.pointer.rsplit_once('/').map_or("", |(list, _)| list);
    list.strip_suffix("/tasks") == Some(way.pointer.as_str())
        || list == format!("/states/{}/on_entry", way.to())
        || list == format!("/states/{}/on_exit", way.from)
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::warnings;

    const TASK: &str = "{name: a, raises: {success: x, failure: z}}";
    const CHILD: &str = "{saga: child, raises: {success: y, failure: y}}";

    fn told(states: &str) -> Vec<String> {
        let states = states.replace("CHILD", CHILD).replace("TASK", TASK);
        let told = warnings(&format!("states:\n{states}"));
        told.into_iter()
            .filter(|told| told.contains("each time round"))
            .collect()
    }

    fn expected(pointer: &str) -> Vec<String> {
        let told = "child is started each time round, and nothing waits for its end or for anybody: there are more of them with each round";
        vec![format!("{pointer} {told}")]
    }

    #[test]
    fn children_that_are_started_round_after_round_and_not_awaited_are_a_warning() {
        let ends = "z: {target: C}, y: {}";
        let entered = told(&format!(
            "  A: {{on_entry: [TASK, CHILD], on: {{x: {{target: B}}, {ends}}}}}
  B: {{on_entry: [TASK], on: {{x: {{target: A}}, {ends}}}}}
  C: {{final: true}}
"
        ));
        assert_eq!(entered, expected("/states/A/on_entry/1"));
        let left = told(&format!(
            "  A: {{on_entry: [TASK], on: {{x: {{target: B}}, {ends}}}}}
  B: {{on_exit: [CHILD], always: [{{if: 'input.n > 1', target: D}}, {{target: A}}]}}
  C: {{final: true}}
  D: {{on: {{y: {{target: C}}}}}}
"
        ));
        assert_eq!(left, expected("/states/B/on_exit/0"));
        let on_its_way = told(&format!(
            "  A: {{on_entry: [TASK], on: {{x: {{tasks: [CHILD], target: A}}, {ends}}}}}
  C: {{final: true}}
"
        ));
        assert_eq!(on_its_way, expected("/states/A/on/x/0/tasks/0"));
    }

    #[test]
    fn a_round_that_waits_or_may_end_is_none() {
        let none = Vec::<String>::new();
        let awaited = told(
            "  A: {on_entry: [CHILD], on: {y: {target: B}}}
  B: {on_entry: [TASK], on: {x: {target: A}, z: {target: C}}}
  C: {final: true}
",
        );
        assert_eq!(awaited, none);
        let somebody = told(
            "  A: {on_entry: [CHILD, TASK], on: {x: {target: B}, y: {}, z: {target: C}}}
  B: {on: {again: {target: A}, y: {}}}
  C: {final: true}
",
        );
        assert_eq!(somebody, none);
        let asked = told(
            "  A: {on_entry: [CHILD, TASK], on: {x: {target: B}, y: {}, z: {target: C}}}
  B: {await_input: {event: x, prompt: 'again?'}, on: {x: {target: A}, y: {}}}
  C: {final: true}
",
        );
        assert_eq!(asked, none);
        let takes_its_time = told(
            "  A: {on_entry: [CHILD], after: [{seconds: 60, target: A}], on: {y: {}, z: {target: C}}}
  C: {final: true}
",
        );
        assert_eq!(takes_its_time, none);
        let guarded = told(
            "  A: {on_entry: [CHILD, TASK], on: {x: [{if: 'input.n > 1', target: A}, {target: C}], y: {}, z: {target: C}}}
  C: {final: true}
",
        );
        assert_eq!(guarded, none);
    }
}
