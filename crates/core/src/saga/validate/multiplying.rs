//! Definitions that start themselves more than once, alone or over others: their sagas multiply.

use std::collections::{BTreeMap, BTreeSet};

use super::ways::{Reach, Start, Way, starts, ways};
use crate::saga::definition::{Action, CHILD_DEPTH_MAX, Definition};
use crate::saga::fault::{Fault, Faults};
use crate::saga::names::{DefinitionName, StateName};

/// Whoever starts itself more often than this is told of the first.
const LOOKED_AT: usize = 100;

/// One that starts itself once is a chain, which ends. Of one that does so twice on one way there are twice as many with each depth.
pub(super) fn check(definition: &Definition, warnings: &mut Faults) {
    let itself = BTreeSet::from([&definition.name]);
    if let Some(pointer) = more_than_once(definition, &itself) {
        let message = format!(
            "{} starts itself more than once on one way: its sagas multiply, until {CHILD_DEPTH_MAX} are above the last of them",
            definition.name
        );
        warnings.add(Fault::new(pointer, message));
    }
}

/// The same of a definition that starts itself over others. `others` are those that it starts, and those that they start.
pub(in crate::saga) fn check_with_others(definition: &Definition, others: &[&Definition]) -> Option<Fault> {
    let all = others.iter().copied().chain([definition]);
    let all: BTreeMap<&DefinitionName, &Definition> = all.map(|one| (&one.name, one)).collect();
    let edges = all.values().flat_map(|from| {
        let children = started_definitions(from).into_iter();
        children.map(|child| (&from.name, child)).collect::<Vec<_>>()
    });
    let edges: Vec<(&DefinitionName, &DefinitionName)> = edges.collect();
    let below = reached(&definition.name, edges.iter().copied());
    let above = reached(&definition.name, edges.iter().map(|(from, to)| (*to, *from)));
    let circle: BTreeSet<&DefinitionName> = below.intersection(&above).copied().collect();
    if circle.len() < 2 {
        return None;
    }
    let first = starts(definition)
        .into_iter()
        .find(|start| child(start.action).is_some_and(|child| circle.contains(child)))?;
    // Itself first: then the place is that of the start.
    let circling = circle.iter().filter_map(|name| all.get(name).copied());
    let mut members = std::iter::once(definition).chain(circling);
    let (multiplies, pointer) =
        members.find_map(|member| more_than_once(member, &circle).map(|pointer| (member, pointer)))?;
    let pointer = if multiplies.name == definition.name {
        pointer
    } else {
        first.pointer
    };
    let message = format!(
        "{} starts itself over others, of which {} starts more than one on one way: their sagas multiply, until {CHILD_DEPTH_MAX} are \
         above the last of them",
        definition.name, multiplies.name
    );
    Some(Fault::new(pointer, message))
}

/// The definitions of the sagas that it starts.
pub fn started_definitions(definition: &Definition) -> BTreeSet<&DefinitionName> {
    starts(definition)
        .iter()
        .filter_map(|start| child(start.action))
        .collect()
}

fn child(action: &Action) -> Option<&DefinitionName> {
    match action {
        Action::Saga(child) => Some(&child.saga),
        Action::Task(_) => None,
    }
}

/// What can be reached from it, itself included.
fn reached<'a>(
    begin: &'a DefinitionName,
    edges: impl Iterator<Item = (&'a DefinitionName, &'a DefinitionName)>,
) -> BTreeSet<&'a DefinitionName> {
    let mut next: BTreeMap<&DefinitionName, Vec<&DefinitionName>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().push(to);
    }
    let mut reached = BTreeSet::new();
    let mut open = vec![begin];
    while let Some(name) = open.pop() {
        if reached.insert(name) {
            open.extend(next.get(name).into_iter().flatten());
        }
    }
    reached
}

/// Where the first of these is started that another one follows on one way, or the same once more.
fn more_than_once(definition: &Definition, circle: &BTreeSet<&DefinitionName>) -> Option<String> {
    let starts = starts(definition).into_iter();
    let own = starts.filter(|start| child(start.action).is_some_and(|child| circle.contains(child)));
    let own: Vec<Start<'_>> = own.take(LOOKED_AT).collect();
    if own.is_empty() {
        return None;
    }
    let ways = ways(definition);
    let reach = Reach::of(&ways);
    let more = own.iter().find(|start| {
        let later = later(start, &ways, &reach);
        own.iter().any(|other| follows(start, other, &ways, &later))
    });
    more.map(|start| start.pointer.clone())
}

/// The list that it stands in.
fn list<'s>(start: &'s Start<'_>) -> &'s str {
    start.pointer.rsplit_once('/').map_or("", |(list, _)| list)
}

/// The state that it stands in.
fn origin<'s>(start: &'s Start<'_>) -> &'s str {
    start.pointer.split('/').nth(2).unwrap_or_default()
}

/// Where the instance may stand when it has started this.
fn later<'a>(start: &Start<'a>, ways: &[Way<'a>], reach: &Reach<'a>) -> BTreeSet<&'a StateName> {
    match start.during {
        Some(during) => reach.from([during]),
        None => reach.from(
            ways.iter()
                .filter(|way| way.from.as_str() == origin(start))
                .map(Way::to),
        ),
    }
}

/// Whether one way leads from this to the other, or to the same once more.
fn follows(start: &Start<'_>, other: &Start<'_>, ways: &[Way<'_>], later: &BTreeSet<&StateName>) -> bool {
    if list(start) == list(other) && start.pointer != other.pointer {
        return true;
    }
    if !list(other).ends_with("/on_entry") {
        return later.iter().any(|state| state.as_str() == origin(other));
    }
    let is_entered_by_it = list(start) != list(other)
        && !list(start).ends_with("/on_entry")
        && start.during.is_some_and(|during| during.as_str() == origin(other));
    let is_entered = |way: &Way<'_>| {
        let target = way.candidate.course.target();
        later.contains(way.from) && target.is_some_and(|target| target.as_str() == origin(other))
    };
    is_entered_by_it || ways.iter().any(is_entered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::source::read;
    use crate::saga::validate::testing::warnings;

    const CHILD: &str = "{saga: test, raises: {failure: x}}";

    fn told(states: &str) -> Vec<String> {
        warnings(&format!("states:\n{}", states.replace("CHILD", CHILD)))
    }

    fn expected(pointer: &str) -> Vec<String> {
        let told =
            "test starts itself more than once on one way: its sagas multiply, until 16 are above the last of them";
        vec![format!("{pointer} {told}")]
    }

    #[test]
    fn one_that_starts_itself_twice_on_one_way_is_a_warning() {
        let twice = told(
            "  A: {on: {x: {tasks: [CHILD, CHILD], target: B}}}\n  B: {on: {x: {target: C}}}\n  C: {final: true}\n",
        );
        assert_eq!(twice, expected("/states/A/on/x/0/tasks/0"));
        let entered = told(
            "  A: {on: {x: {tasks: [CHILD], target: B}}}\n  B: {on_entry: [CHILD], on: {x: {target: C}}}\n  C: {final: true}\n",
        );
        assert_eq!(entered, expected("/states/A/on/x/0/tasks/0"));
        let round = told(
            "  A: {on_entry: [CHILD], on: {x: {target: B}}}\n  B: {on: {x: {target: A}, y: {target: C}}}\n  C: {final: true}\n",
        );
        assert_eq!(round, expected("/states/A/on_entry/0"));
    }

    #[test]
    fn one_that_starts_itself_once_whichever_way_it_goes_is_none() {
        let alternatives = "  A: {on: {x: {tasks: [CHILD], target: B}, y: {tasks: [CHILD], target: B}}}
  B: {on: {x: {target: C}}}
  C: {final: true}
";
        assert_eq!(told(alternatives), Vec::<String>::new());
        let others =
            "  A: {on_entry: [{saga: a, raises: {failure: x}}, {saga: a, raises: {failure: x}}], on: {x: {target: C}}}
  C: {final: true}
";
        assert_eq!(told(others), Vec::<String>::new());
    }

    #[test]
    fn one_that_starts_itself_on_each_round_over_several_states_is_a_warning() {
        let left = told(
            "  A: {on_exit: [CHILD], on: {x: {target: B}}}\n  B: {after: [{seconds: 5, target: D}], on: {y: {target: C}}}\n  \
             D: {always: [{if: 'input.n > 1', target: A}], on: {y: {target: C}}}\n  C: {final: true}\n",
        );
        assert_eq!(left, expected("/states/A/on_exit/0"));
        let between = told(
            "  A: {on: {x: {target: B}, y: {target: C}}}\n  B: {on: {x: {tasks: [CHILD], target: D}}}\n  \
             D: {on: {x: {target: A}}}\n  C: {final: true}\n",
        );
        assert_eq!(between, expected("/states/B/on/x/0/tasks/0"));
    }

    /// It starts children of these definitions on one way.
    fn starting(name: &str, children: &[&str]) -> Definition {
        let children: Vec<String> = children
            .iter()
            .map(|child| format!("{{saga: {child}, raises: {{failure: x}}}}"))
            .collect();
        let entry = if children.is_empty() {
            String::new()
        } else {
            format!("on_entry: [{}], ", children.join(", "))
        };
        let text = format!(
            "name: {name}\ninitial: A\nstates:\n  A: {{{entry}on: {{x: {{target: B}}}}}}\n  B: {{final: true}}\n"
        );
        read(&text).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn over_others(definition: &Definition, others: &[&Definition]) -> Option<String> {
        check_with_others(definition, others).map(|fault| fault.to_string())
    }

    #[test]
    fn those_that_start_each_other_more_than_once_are_a_warning() {
        let expected = |pointer: &str, name: &str, more: &str| {
            Some(format!(
                "{pointer} {name} starts itself over others, of which {more} starts more than one on one way: their sagas multiply, \
                 until 16 are above the last of them"
            ))
        };
        let (order, payment) = (
            starting("order", &["a", "payment"]),
            starting("payment", &["order", "order"]),
        );
        assert_eq!(
            over_others(&order, &[&payment]),
            expected("/states/A/on_entry/1", "order", "payment")
        );
        assert_eq!(
            over_others(&payment, &[&order]),
            expected("/states/A/on_entry/0", "payment", "payment")
        );
        // A newer version of the same name is what it becomes.
        let before = starting("order", &[]);
        assert!(over_others(&order, &[&payment, &before]).is_some());
        let far = starting("payment", &["b"]);
        let farther = starting("b", &["order", "c", "c"]);
        assert_eq!(
            over_others(&order, &[&far, &farther]),
            None,
            "nobody starts two that lead back"
        );
        let farther = starting("b", &["payment", "order"]);
        assert_eq!(
            over_others(&order, &[&far, &farther]),
            expected("/states/A/on_entry/1", "order", "b")
        );
        let itself = starting("order", &["order", "payment"]);
        let once = starting("payment", &["order"]);
        assert_eq!(
            over_others(&itself, &[&once]),
            expected("/states/A/on_entry/0", "order", "order")
        );
    }

    #[test]
    fn those_that_start_each_other_once_or_no_way_back_are_none() {
        let (order, payment) = (starting("order", &["payment"]), starting("payment", &["order"]));
        assert_eq!(over_others(&order, &[&payment]), None);
        let (order, payment) = (
            starting("order", &["payment", "payment"]),
            starting("payment", &["a", "a"]),
        );
        assert_eq!(over_others(&order, &[&payment]), None);
        assert_eq!(over_others(&order, &[]), None, "it is not there");
        let (child, parent) = (
            starting("child", &[]),
            starting("parent", &["child", "child", "parent"]),
        );
        assert_eq!(over_others(&child, &[&parent]), None);
    }
}
