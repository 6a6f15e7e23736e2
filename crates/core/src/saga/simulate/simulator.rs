//! What a test does with a saga, and what it can see of it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::world::{Running, RunningKind, World};
use crate::JsonText;
use crate::json::InvalidJson;
use crate::saga::builder;
use crate::saga::compiled::CompiledDefinition;
use crate::saga::definition::Definition;
use crate::saga::diagram::{Live, Taken, mermaid_live};
use crate::saga::fault::Faults;
use crate::saga::instance::{Event, Outcome, SagaStatus};
use crate::saga::names::{EventName, StateName};
use crate::saga::step::{CompensationChange, Input, Note, Rejection};
use crate::saga::validate::validate;
use crate::task::{ErrorKind, SpecLimits, TaskError};
use crate::time::Timestamp;

/// Starts sagas of one definition, and knows in which states they have been.
#[derive(Debug)]
pub struct Simulator {
    definition: CompiledDefinition,
    limits: SpecLimits,
    visited: RefCell<BTreeSet<StateName>>,
}

/// Why a test cannot do what it wants.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The server would say the same.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("no {name} runs; {}", listed(running))]
    NotRunning { name: String, running: Vec<String> },
    #[error("the saga awaits no answer")]
    NotAwaiting,
    #[error("the value {0}")]
    InvalidJson(#[from] InvalidJson),
    #[error("{0:?} is no name of an event")]
    InvalidEvent(String),
}

fn listed(running: &[String]) -> String {
    if running.is_empty() {
        "nothing does".to_owned()
    } else {
        format!("what runs is {}", running.join(", "))
    }
}

impl Simulator {
    /// # Errors
    /// Everything that is wrong with the definition.
    pub fn new(definition: Definition) -> Result<Self, Faults> {
        let limits = SpecLimits::default();
        let findings = validate(&definition, &limits, Timestamp::EPOCH);
        if !findings.errors.is_empty() {
            return Err(findings.errors);
        }
        Ok(Self {
            definition: CompiledDefinition::new(definition)?,
            limits,
            visited: RefCell::default(),
        })
    }

    /// A saga that begins as with `POST /api/sagas`.
    ///
    /// # Errors
    /// [`SimulationError`] if it cannot start with this.
    pub fn start<T: Serialize + ?Sized>(&self, input: &T) -> Result<SimulatedSaga<'_>, SimulationError> {
        self.start_with("start", input)
    }

    /// A saga that an event begins.
    ///
    /// # Errors
    /// [`SimulationError`] if it cannot start with this.
    pub fn start_on<E: builder::Event + Serialize>(&self, event: &E) -> Result<SimulatedSaga<'_>, SimulationError> {
        self.start_with(E::NAME, event)
    }

    /// A saga that an event of this name begins.
    ///
    /// # Errors
    /// [`SimulationError`] if it cannot start with this.
    pub fn start_with<T: Serialize + ?Sized>(
        &self,
        event: &str,
        data: &T,
    ) -> Result<SimulatedSaga<'_>, SimulationError> {
        let data = JsonText::of(data)?;
        let mut saga = SimulatedSaga {
            simulator: self,
            world: World::new(&self.definition, data.clone()),
            path: Vec::new(),
            undone: Vec::new(),
            raised: 0,
        };
        let event = saga.event(event, data)?;
        saga.put(Input::Started(event))?;
        Ok(saga)
    }

    /// The states in which none of its sagas has been.
    pub fn unvisited(&self) -> Vec<String> {
        let visited = self.visited.borrow();
        let states = self.definition.definition().states.keys();
        let unvisited = states.filter(|state| !visited.contains(*state));
        unvisited.map(ToString::to_string).collect()
    }
}

/// A saga whose tasks and whose time are in the hands of a test.
#[derive(Debug)]
pub struct SimulatedSaga<'a> {
    simulator: &'a Simulator,
    world: World,
    path: Vec<Taken>,
    undone: Vec<String>,
    raised: u32,
}

impl SimulatedSaga<'_> {
    pub fn state(&self) -> &str {
        self.world.instance.state.as_str()
    }

    pub fn status(&self) -> SagaStatus {
        self.world.instance.status()
    }

    /// A field of the context; `null` if it was never set.
    pub fn context(&self, field: &str) -> Value {
        let field = field.parse().ok();
        let value = field.and_then(|field| self.world.instance.context.get(&field));
        value.and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// What was started and has not ended, the oldest first.
    pub fn running(&self) -> impl Iterator<Item = &Running> {
        self.world.running.values()
    }

    /// The names of the compensations that have succeeded, in their order.
    pub fn undone(&self) -> &[String] {
        &self.undone
    }

    /// The transitions it has made.
    pub fn path(&self) -> &[Taken] {
        &self.path
    }

    /// Why it needs attention: the reasons of all that could not be done.
    pub fn parked(&self) -> impl Iterator<Item = &str> {
        self.world.instance.parked.iter().map(|parked| parked.reason.as_str())
    }

    /// Its definition as a diagram of Mermaid, with where it is and how it came there.
    pub fn mermaid(&self) -> String {
        let live = Live {
            state: &self.world.instance.state,
            path: &self.path,
        };
        mermaid_live(self.simulator.definition.definition(), live)
    }

    /// A task, a compensation or a child saga ends well.
    ///
    /// # Errors
    /// [`SimulationError`] if none of that name runs.
    pub fn succeed<T: Serialize + ?Sized>(&mut self, name: &str, output: &T) -> Result<(), SimulationError> {
        let output = JsonText::of(output)?;
        self.end(name, Outcome::Succeeded { output })
    }

    /// One fails for good, and has done nothing.
    ///
    /// # Errors
    /// [`SimulationError`] if none of that name runs.
    pub fn fail(&mut self, name: &str, message: &str) -> Result<(), SimulationError> {
        self.end(name, unsuccessful(ErrorKind::Failed, message, false))
    }

    /// Its worker dies for good: nobody knows how far it came.
    ///
    /// # Errors
    /// [`SimulationError`] if none of that name runs.
    pub fn lose(&mut self, name: &str) -> Result<(), SimulationError> {
        self.end(name, unsuccessful(ErrorKind::Lost, "its worker died", true))
    }

    /// One is cancelled that was running: nobody knows how far it came.
    ///
    /// # Errors
    /// [`SimulationError`] if none of that name runs.
    pub fn stop(&mut self, name: &str) -> Result<(), SimulationError> {
        self.end(name, unsuccessful(ErrorKind::Cancelled, "it was cancelled", true))
    }

    /// One ends in some way.
    ///
    /// # Errors
    /// [`SimulationError`] if none of that name runs.
    pub fn end(&mut self, name: &str, outcome: Outcome) -> Result<(), SimulationError> {
        let running = self.running().find(|running| running.name == name);
        let Some(&Running { number, kind, .. }) = running else {
            return Err(SimulationError::NotRunning {
                name: name.to_owned(),
                running: self.running().map(|running| running.name.clone()).collect(),
            });
        };
        match kind {
            RunningKind::Task | RunningKind::ChildSaga => self.put(Input::TaskEnded { number, outcome }),
            RunningKind::Compensation => self.put(Input::CompensationEnded { number, outcome }),
        }
    }

    /// # Errors
    /// [`SimulationError`] if the state does not take it.
    pub fn raise<E: builder::Event + Serialize>(&mut self, event: &E) -> Result<(), SimulationError> {
        self.raise_named(E::NAME, event)
    }

    /// # Errors
    /// [`SimulationError`] if the state does not take it.
    pub fn raise_named<T: Serialize + ?Sized>(&mut self, event: &str, data: &T) -> Result<(), SimulationError> {
        let event = self.event(event, JsonText::of(data)?)?;
        self.put(Input::EventRaised(event))
    }

    /// Somebody answers. Whether the answer meets the schema is asked by the server, and not here.
    ///
    /// # Errors
    /// [`SimulationError`] if nobody was asked.
    pub fn answer<T: Serialize + ?Sized>(&mut self, data: &T) -> Result<(), SimulationError> {
        let awaiting = self.world.instance.awaiting.clone();
        let awaiting = awaiting.ok_or(SimulationError::NotAwaiting)?;
        self.raise_named(awaiting.as_str(), data)
    }

    /// Time goes by, and every timer fires in its time.
    ///
    /// # Errors
    /// [`SimulationError`] of a timer that is refused, which none should be.
    pub fn advance(&mut self, time: Duration) -> Result<(), SimulationError> {
        let until = self.world.now + time;
        loop {
            let due = self.world.timers.iter().filter(|(_, at)| **at <= until);
            let Some((timer, at)) = due.min_by_key(|(timer, at)| (**at, **timer)) else {
                break;
            };
            let (timer, at) = (*timer, *at);
            self.world.now = self.world.now.max(at);
            match self.put(Input::TimerFired(timer)) {
                // As on the server, where it comes too late.
                Err(SimulationError::Rejected(Rejection::StaleTimer)) => {
                    self.world.timers.remove(&timer);
                }
                other => other?,
            }
        }
        self.world.now = until;
        Ok(())
    }

    /// # Errors
    /// [`SimulationError`] if it is over, or being cancelled already.
    pub fn cancel(&mut self) -> Result<(), SimulationError> {
        self.put(Input::CancelRequested)
    }

    /// A person wants the compensation that is stuck to run again.
    ///
    /// # Errors
    /// [`SimulationError`] if none is stuck.
    pub fn retry_compensation(&mut self) -> Result<(), SimulationError> {
        let number = self.newest()?;
        self.put(Input::CompensationRetried { number })
    }

    /// A person has seen to the compensation that is stuck.
    ///
    /// # Errors
    /// [`SimulationError`] if none is stuck.
    pub fn skip_compensation(&mut self) -> Result<(), SimulationError> {
        let number = self.newest()?;
        self.put(Input::CompensationSkipped { number })
    }

    fn newest(&self) -> Result<u32, Rejection> {
        let newest = self.world.instance.stack.last();
        newest.map(|undo| undo.number).ok_or(Rejection::NotStuck)
    }

    fn event(&mut self, name: &str, data: JsonText) -> Result<Event, SimulationError> {
        self.raised += 1;
        let event = EventName::new(name).map_err(|_| SimulationError::InvalidEvent(name.to_owned()))?;
        Ok(Event {
            id: format!("event/{}", self.raised),
            name: event,
            data,
        })
    }

    fn put(&mut self, input: Input) -> Result<(), SimulationError> {
        let before = self.world.instance.state.clone();
        let undoing = self.world.instance.stack.last().map(|undo| undo.task.name.clone());
        let step = self
            .world
            .put(&self.simulator.definition, input, &self.simulator.limits)?;
        let mut visited = self.simulator.visited.borrow_mut();
        visited.extend([before, self.world.instance.state.clone()]);
        for note in step.notes {
            if let Note::Transition { from, to, event } = note {
                visited.extend([from.clone(), to.clone()]);
                self.path.push(Taken { from, to, event });
            } else if let Note::Compensation {
                change: CompensationChange::Succeeded,
                ..
            } = note
            {
                self.undone.extend(undoing.clone());
            }
        }
        Ok(())
    }
}

fn unsuccessful(kind: ErrorKind, message: &str, may_have_run: bool) -> Outcome {
    Outcome::Unsuccessful {
        error: TaskError::new(kind, message),
        may_have_run,
    }
}
