//! What the ends of tasks register, by the definition and by what has happened: nothing is asked of what the saga keeps itself.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::{actions, active};
use crate::saga::definition::{Definition, TaskBody};
use crate::saga::instance::{Cause, Instance, Outcome, Parked, Phase};
use crate::saga::step::{Effect, Input, Purpose};
use crate::task::ErrorKind;

/// The tasks and child sagas of one saga, as one knows them who has seen all of its steps.
#[derive(Debug, Clone, Default)]
pub struct Armed {
    issued: BTreeMap<u32, Issued>,
}

#[derive(Debug, Clone)]
struct Issued {
    name: String,
    /// Where it was issued before: the number under which what undoes it was registered then. Of several that it may be once more,
    /// all; `None` is one of which nothing was.
    before: BTreeSet<Option<u32>>,
}

impl Armed {
    /// The names that an input may register before anything follows from it, one after the other: any of these lists.
    pub fn options(&self, definition: &Definition, before: &Instance, input: &Input) -> Vec<Vec<String>> {
        let issued = ended_in_doubt(input).and_then(|number| self.issued.get(&number));
        let Some(issued) = issued.filter(|_| !matches!(before.phase, Phase::Ending { .. })) else {
            return vec![Vec::new()];
        };
        let is_left = |first: &Option<u32>| first.is_some_and(|first| is_on_stack(before, first));
        let mut options = Vec::new();
        if issued.before.iter().any(is_left) {
            // Once is enough.
            options.push(Vec::new());
        }
        if !issued.before.iter().all(is_left) {
            let of_name = active(definition)
                .flat_map(actions)
                .filter(|action| action.name() == issued.name);
            options.extend(of_name.map(|action| action.compensation().iter().filter_map(TaskBody::name).collect()));
        }
        options
    }

    /// Takes note of a step.
    pub fn observe(&mut self, before: &Instance, input: &Input, after: &Instance, effects: &[Effect]) {
        if let Some(number) = ended_in_doubt(input)
            && let Some(issued) = self.issued.get_mut(&number)
        {
            let is_new = |number: &u32| *number > before.last_number;
            let first = after.stack.iter().map(|undo| undo.number).find(is_new);
            let is_left = |first: &Option<u32>| first.is_some_and(|first| is_on_stack(before, first));
            if first.is_some() && !issued.before.iter().any(is_left) {
                issued.before = BTreeSet::from([first]);
            }
        }
        let again = self.taken_again(before, input);
        let begun: Vec<(u32, String)> = effects.iter().filter_map(begun).collect();
        for (number, name) in &begun {
            let of_name = || again.iter().filter(|issued| issued.name == *name);
            let mut undone: BTreeSet<Option<u32>> = of_name().flat_map(|issued| issued.before.clone()).collect();
            if begun.iter().filter(|(_, other)| other == name).count() > of_name().count() {
                undone.insert(None);
            }
            let issued = Issued {
                name: name.clone(),
                before: undone,
            };
            self.issued.insert(*number, issued);
        }
        let is_parked = |number: u32| after.parked.iter().any(|parked| parked_task(parked) == Some(number));
        self.issued
            .retain(|number, _| after.live.contains_key(number) || is_parked(*number));
    }

    /// The tasks that a person has issued once more.
    fn taken_again(&self, before: &Instance, input: &Input) -> Vec<Issued> {
        let is_meant = |parked: &&Parked| match input {
            Input::ParkedRetried { number } => parked.number == *number,
            Input::Retried { .. } => true,
            Input::Started(_)
            | Input::EventRaised(_)
            | Input::TaskEnded { .. }
            | Input::TimerFired(_)
            | Input::CompensationEnded { .. }
            | Input::CancelRequested
            | Input::CompensationRetried { .. }
            | Input::CompensationSkipped { .. }
            | Input::ParkedDiscarded { .. } => false,
        };
        let numbers = before.parked.iter().filter(is_meant).filter_map(parked_task);
        numbers.filter_map(|number| self.issued.get(&number).cloned()).collect()
    }
}

fn is_on_stack(instance: &Instance, number: u32) -> bool {
    instance.stack.iter().any(|undo| undo.number == number)
}

fn parked_task(parked: &Parked) -> Option<u32> {
    match &parked.cause {
        Cause::Task { number, .. } => Some(*number),
        Cause::Event(_) | Cause::Timer(_) | Cause::Join { .. } | Cause::Entry { .. } => None,
    }
}

fn begun(effect: &Effect) -> Option<(u32, String)> {
    match effect {
        Effect::IssueTask {
            number,
            purpose: Purpose::Forward,
            task,
        } => Some((*number, task.name.clone())),
        Effect::StartSaga { number, saga, .. } => Some((*number, saga.to_string())),
        Effect::IssueTask {
            purpose: Purpose::Compensation,
            ..
        }
        | Effect::CancelTask { .. }
        | Effect::StartTimer { .. }
        | Effect::StopTimers { .. }
        | Effect::Finished { .. } => None,
    }
}

/// The task that has ended, if it has done something, or nobody knows.
fn ended_in_doubt(input: &Input) -> Option<u32> {
    let Input::TaskEnded { number, outcome } = input else {
        return None;
    };
    let is_in_doubt = match outcome {
        Outcome::Succeeded { .. } => true,
        // What only its output was refused of has been done.
        Outcome::Unsuccessful { may_have_run, error } => *may_have_run || error.kind == ErrorKind::OutputNotStorable,
    };
    is_in_doubt.then_some(*number)
}
