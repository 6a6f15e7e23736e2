//! What a state has, wherever in it.

use crate::saga::definition::{Action, ActiveState, Candidate, Candidates, Definition, State};

/// The states that are no end.
pub(super) fn active(definition: &Definition) -> impl Iterator<Item = &ActiveState> {
    definition.states.values().filter_map(|state| match state {
        State::Final { .. } => None,
        State::Active(active) => Some(&**active),
    })
}

/// Every transition.
pub(super) fn candidates(state: &ActiveState) -> impl Iterator<Item = &Candidate> {
    let on = state.on.values().flat_map(Candidates::as_slice);
    let after = state.after.iter().map(|delayed| &delayed.candidate);
    on.chain(after).chain(&state.always)
}

/// Everything that is started.
pub(super) fn actions(state: &ActiveState) -> impl Iterator<Item = &Action> {
    let tasks = candidates(state).flat_map(|candidate| candidate.course.tasks());
    tasks.chain(&state.on_entry).chain(&state.on_exit)
}
