//! What may happen next.

use std::collections::BTreeSet;

use super::parts::{actions, active};
use super::samples::Samples;
use crate::JsonText;
use crate::saga::definition::{Action, Definition, Fields, State};
use crate::saga::instance::{Event, LiveEnd, Outcome, Phase, Timer};
use crate::saga::names::{EventName, StateName};
use crate::saga::simulate::{RunningKind, World};
use crate::saga::step::{Input, Rejection};
use crate::task::{ErrorKind, TaskError};

/// Worlds in which more waits for a decision, or for another state, differ from others in nothing but that.
const WAITING_MAX: usize = 1;

/// Something that may happen, and whether it may be refused.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) input: Input,
    /// The saga is over, and takes nothing.
    pub(super) is_refused: bool,
}

impl Move {
    fn new(input: Input) -> Self {
        Self {
            input,
            is_refused: false,
        }
    }

    /// Whether that may be the answer. The end of a task that runs, and the decisions of people that are asked for, must be taken.
    pub(super) fn may_refuse(&self, rejection: &Rejection) -> bool {
        match &self.input {
            Input::Started(_) => matches!(
                rejection,
                Rejection::CannotStart { .. } | Rejection::NotTaken { .. } | Rejection::NoGuardHolds { .. }
            ),
            Input::EventRaised(_) => matches!(
                rejection,
                Rejection::NoGuardHolds { .. } | Rejection::TooManyDeferred | Rejection::TooManyParked { .. }
            ),
            Input::TimerFired(timer) => *timer == Timer::Saga && *rejection == Rejection::StaleTimer,
            Input::CancelRequested => *rejection == Rejection::AlreadyCancelled || *rejection == Rejection::Over,
            Input::ParkedRetried { .. } | Input::Retried { .. } => true,
            Input::TaskEnded { .. }
            | Input::CompensationEnded { .. }
            | Input::CompensationRetried { .. }
            | Input::CompensationSkipped { .. }
            | Input::ParkedDiscarded { .. } => false,
        }
    }
}

/// All moves of one definition.
#[derive(Debug)]
pub(super) struct Moves<'a> {
    definition: &'a Definition,
    samples: &'a Samples,
    /// What tasks and child sagas raise: others do not.
    raised: BTreeSet<&'a EventName>,
}

impl<'a> Moves<'a> {
    pub(super) fn of(definition: &'a Definition, samples: &'a Samples) -> Self {
        Self {
            definition,
            samples,
            raised: active(definition).flat_map(actions).flat_map(Action::events).collect(),
        }
    }

    pub(super) fn of_world(&self, world: &World) -> Vec<Move> {
        let mut inputs = Vec::new();
        match &world.instance.phase {
            Phase::Created => {
                let initial = self.takes(&self.definition.initial);
                // The input is what it is started with.
                inputs.extend(initial.map(|name| Input::Started(event(name, world.instance.input.clone()))));
                return inputs.into_iter().map(Move::new).collect();
            }
            Phase::Ended { .. } => return self.afterwards(world),
            Phase::Running => self.events(world, &mut inputs),
            Phase::Stuck { .. } => {
                if let Some(newest) = world.instance.stack.last() {
                    let number = newest.number;
                    inputs.push(Input::CompensationRetried { number });
                    inputs.push(Input::CompensationSkipped { number });
                }
            }
            Phase::Ending { .. } | Phase::Settling { .. } | Phase::Undoing { .. } => {}
        }
        self.ends(world, &mut inputs);
        inputs.extend(world.timers.keys().map(|timer| Input::TimerFired(*timer)));
        inputs.push(Input::CancelRequested);
        for parked in &world.instance.parked {
            let number = parked.number;
            if world.instance.phase == Phase::Running {
                inputs.push(Input::ParkedRetried { number });
            }
            if !matches!(world.instance.phase, Phase::Ending { .. }) {
                inputs.push(Input::ParkedDiscarded { number });
            }
        }
        if world.instance.phase == Phase::Running && !world.instance.parked.is_empty() {
            inputs.push(Input::Retried { context: Fields::new() });
        }
        inputs.into_iter().map(Move::new).collect()
    }

    fn takes(&self, state: &StateName) -> impl Iterator<Item = &'a EventName> {
        let state = match self.definition.states.get(state) {
            Some(State::Active(active)) => Some(active),
            Some(State::Final { .. }) | None => None,
        };
        state.into_iter().flat_map(|state| state.on.keys())
    }

    fn events(&self, world: &World, inputs: &mut Vec<Input>) {
        let waiting = world.instance.parked.len().max(world.instance.deferred.len());
        if waiting > WAITING_MAX {
            return;
        }
        let awaiting = &world.instance.awaiting;
        let events = self.takes(&world.instance.state);
        for name in events.filter(|name| !self.raised.contains(*name) || awaiting.as_ref() == Some(*name)) {
            let data = self.samples.of_event(name);
            inputs.extend(data.map(|data| Input::EventRaised(event(name, data))));
        }
    }

    /// Every way in which what runs may end.
    fn ends(&self, world: &World, inputs: &mut Vec<Input>) {
        for running in world.running.values() {
            let number = running.number;
            if running.kind == RunningKind::Compensation {
                let ends = [succeeded(JsonText::null()), failed(ErrorKind::Failed, true)];
                inputs.extend(ends.map(|outcome| Input::CompensationEnded { number, outcome }));
                continue;
            }
            let mut ends = self.successes(world, number);
            ends.push(failed(ErrorKind::Failed, false));
            if running.kind == RunningKind::Task {
                // Clean after an attempt was lost, and in every way that leaves doubt or none.
                ends.extend([
                    failed(ErrorKind::Failed, true),
                    failed(ErrorKind::Lost, true),
                    failed(ErrorKind::OutputNotStorable, false),
                    failed(ErrorKind::Expired, false),
                ]);
            }
            ends.push(failed(ErrorKind::Cancelled, running.kind == RunningKind::Task));
            inputs.extend(ends.into_iter().map(|outcome| Input::TaskEnded { number, outcome }));
        }
    }

    fn successes(&self, world: &World, number: u32) -> Vec<Outcome> {
        let event = world.instance.live.get(&number).and_then(|live| match &live.end {
            LiveEnd::Raises(events) => events.success.as_ref(),
            LiveEnd::Joins { .. } => None,
        });
        match event {
            Some(event) => self.samples.of_event(event).map(succeeded).collect(),
            None => vec![succeeded(JsonText::null())],
        }
    }

    /// What must be refused when it is over.
    fn afterwards(&self, world: &World) -> Vec<Move> {
        let number = world.instance.last_number;
        let events = self.definition.states.keys().flat_map(|state| self.takes(state));
        let events: BTreeSet<&EventName> = events.collect();
        let raised = events
            .into_iter()
            .map(|name| Input::EventRaised(event(name, JsonText::null())));
        let others = [
            Input::Started(event(
                &EventName::new("start").expect("a name"),
                world.instance.input.clone(),
            )),
            Input::TaskEnded {
                number,
                outcome: succeeded(JsonText::null()),
            },
            Input::CompensationEnded {
                number,
                outcome: succeeded(JsonText::null()),
            },
            Input::TimerFired(Timer::Saga),
            Input::CancelRequested,
            Input::CompensationRetried { number },
            Input::CompensationSkipped { number },
        ];
        let refused = raised.chain(others).map(|input| Move {
            input,
            is_refused: true,
        });
        refused.collect()
    }
}

fn event(name: &EventName, data: JsonText) -> Event {
    Event {
        id: "explored".to_owned(),
        name: name.clone(),
        data,
    }
}

fn succeeded(output: JsonText) -> Outcome {
    Outcome::Succeeded { output }
}

fn failed(kind: ErrorKind, may_have_run: bool) -> Outcome {
    Outcome::Unsuccessful {
        error: TaskError::new(kind, "explored"),
        may_have_run,
    }
}

/// As the way to a violation tells it.
pub(super) fn told(world: &World, input: &Input) -> String {
    let name = |number: &u32| world.running.get(number).map_or("?", |running| running.name.as_str());
    match input {
        Input::TaskEnded { number, outcome } => format!("task {number} {} {}", name(number), how(outcome)),
        Input::CompensationEnded { number, outcome } => {
            format!("compensation {number} {} {}", name(number), how(outcome))
        }
        Input::Started(event) => format!("started by {} with {}", event.name, event.data),
        Input::EventRaised(event) => format!("{} is raised with {}", event.name, event.data),
        Input::TimerFired(timer) => format!("{timer:?} fires"),
        Input::CancelRequested => "cancelled".to_owned(),
        Input::CompensationRetried { number } => format!("compensation {number} is to run again"),
        Input::CompensationSkipped { number } => format!("compensation {number} is skipped"),
        Input::ParkedRetried { number } => format!("what is parked as {number} is taken again"),
        Input::ParkedDiscarded { number } => format!("what is parked as {number} is given up"),
        Input::Retried { .. } => "all that is parked is taken again".to_owned(),
    }
}

fn how(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded { output } => format!("succeeds with {output}"),
        Outcome::Unsuccessful { error, may_have_run } => {
            let doubt = if *may_have_run { ", and may have run" } else { "" };
            format!("ends {}{doubt}", error.kind.as_str())
        }
    }
}
