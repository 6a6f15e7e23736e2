//! Whether what a step has registered is what the definition says of what has happened in it.

use super::oracle::goes_back;
use super::parts::candidates;
use crate::saga::definition::{Candidate, Definition, State, TaskBody};
use crate::saga::names::StateName;
use crate::saga::simulate::World;
use crate::saga::step::Note;

/// The names that one of several transitions would have registered.
pub(super) type Options = Vec<Vec<String>>;

/// `armed` is what the end of a task may have registered before.
pub(super) fn explains(
    definition: &Definition,
    before: &World,
    armed: Options,
    after: &World,
    notes: &[Note],
    registered: &[&str],
) -> bool {
    let mut happened: Vec<Options> = vec![armed];
    let mut transitions = notes.iter().filter_map(|note| {
        let Note::Transition { from, to, event } = note else {
            return None;
        };
        Some((from, to, event))
    });
    if goes_back(before) {
        // All is undone: where it goes then was said before.
        transitions.next();
    }
    for (from, to, event) in transitions {
        let options = options(definition, from, |candidate| {
            candidate.course.target().unwrap_or(from) == to
        });
        let is_of_time = event.as_str() == "timeout";
        let none = is_of_time.then(Vec::new);
        happened.push(options.into_iter().chain(none).collect());
    }
    if goes_back(after) && !goes_back(before) {
        // A transition that undoes everything, a timeout or a person.
        let options = options(definition, &after.instance.state, |candidate| {
            candidate.course.compensates()
        });
        happened.push(options.into_iter().chain([Vec::new()]).collect());
    }
    is_made_of(registered, &happened)
}

/// Of those transitions of a state.
fn options(definition: &Definition, state: &StateName, is_one: impl Fn(&Candidate) -> bool) -> Options {
    let Some(State::Active(state)) = definition.states.get(state) else {
        return Vec::new();
    };
    let all = candidates(state).filter(|candidate| is_one(candidate));
    let names = all.map(|candidate| candidate.compensation.iter().filter_map(TaskBody::name).collect());
    names.collect()
}

/// Whether the names are one of the options of each, one after the other.
fn is_made_of(names: &[&str], happened: &[Options]) -> bool {
    let Some((first, rest)) = happened.split_first() else {
        return names.is_empty();
    };
    first.iter().any(|option| {
        let (mine, others) = names.split_at(option.len().min(names.len()));
        mine == option.as_slice() && is_made_of(others, rest)
    })
}
