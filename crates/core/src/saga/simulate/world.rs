//! A saga and what the server keeps beside it: running tasks and timers. It does what the server does with a step, in memory.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::JsonText;
use crate::identity::SagaId;
use crate::saga::compiled::CompiledDefinition;
use crate::saga::instance::{Instance, SagaEnd, Timer};
use crate::saga::step::{Effect, Input, Purpose, Rejection, Step, step};
use crate::task::SpecLimits;
use crate::time::Timestamp;

/// Something that was started and has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// By which the saga knows it.
    pub number: u32,
    /// Of the task, or of the definition of a child saga.
    pub name: String,
    pub input: Option<JsonText>,
    pub kind: RunningKind,
    /// The saga wants it to stop, and waits for its end.
    pub is_cancelled: bool,
}

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunningKind {
    Task,
    /// It undoes something.
    Compensation,
    ChildSaga,
}

/// All of a saga between two steps.
#[derive(Debug, Clone)]
pub(in crate::saga) struct World {
    pub(in crate::saga) instance: Instance,
    pub(in crate::saga) now: Timestamp,
    pub(in crate::saga) running: BTreeMap<u32, Running>,
    pub(in crate::saga) timers: BTreeMap<Timer, Timestamp>,
    pub(in crate::saga) end: Option<SagaEnd>,
}

impl World {
    pub(in crate::saga) fn new(definition: &CompiledDefinition, input: JsonText) -> Self {
        let id = SagaId(Uuid::from_u128(1));
        Self {
            instance: Instance::new(definition.definition(), id, "simulated".to_owned(), input),
            now: Timestamp::EPOCH,
            running: BTreeMap::new(),
            timers: BTreeMap::new(),
            end: None,
        }
    }

    /// The instance as it is read again after a crash.
    pub(in crate::saga) fn restored(&self) -> Instance {
        let Instance {
            id,
            correlation_id,
            input,
            ..
        } = &self.instance;
        let stored = self.instance.to_stored();
        Instance::from_stored(*id, correlation_id.clone(), input.clone(), stored.as_str())
            .expect("what was stored can be read")
    }

    /// One step, and what it asks for. Between any two steps the instance is stored and read again, as on the server.
    ///
    /// # Errors
    /// [`Rejection`]: nothing has changed.
    pub(in crate::saga) fn put(
        &mut self,
        definition: &CompiledDefinition,
        input: Input,
        limits: &SpecLimits,
    ) -> Result<Step, Rejection> {
        let (ended, fired) = match &input {
            Input::TaskEnded { number, .. } | Input::CompensationEnded { number, .. } => (Some(*number), None),
            Input::TimerFired(timer) => (None, Some(*timer)),
            Input::Started(_)
            | Input::EventRaised(_)
            | Input::CancelRequested
            | Input::CompensationRetried { .. }
            | Input::CompensationSkipped { .. }
            | Input::ParkedRetried { .. }
            | Input::ParkedDiscarded { .. }
            | Input::Retried { .. } => (None, None),
        };
        let decided = step(definition, self.restored(), input, limits, self.now)?;
        if let Some(number) = ended {
            self.running.remove(&number);
        }
        if let Some(timer) = fired {
            self.timers.remove(&timer);
        }
        self.instance = decided.instance.clone();
        for effect in &decided.effects {
            self.perform(effect);
        }
        Ok(decided)
    }

    fn perform(&mut self, effect: &Effect) {
        match effect {
            Effect::IssueTask { number, purpose, task } => {
                let kind = match purpose {
                    Purpose::Forward => RunningKind::Task,
                    Purpose::Compensation => RunningKind::Compensation,
                };
                self.begin(*number, task.name.clone(), task.input.clone(), kind);
            }
            Effect::StartSaga {
                number, saga, input, ..
            } => self.begin(*number, saga.to_string(), Some(input.clone()), RunningKind::ChildSaga),
            Effect::CancelTask { number } => {
                if let Some(running) = self.running.get_mut(number) {
                    running.is_cancelled = true;
                }
            }
            Effect::StartTimer { timer, at } => {
                self.timers.insert(*timer, *at);
            }
            Effect::StopTimers { entry } => self.timers.retain(|timer, _| match timer {
                Timer::Saga => true,
                Timer::After { .. } | Timer::DefaultAnswer { .. } | Timer::Reminder { .. } => timer.entry() != *entry,
            }),
            Effect::Finished { end } => {
                self.timers.clear();
                self.end = Some(*end);
            }
        }
    }

    fn begin(&mut self, number: u32, name: String, input: Option<JsonText>, kind: RunningKind) {
        let running = Running {
            number,
            name,
            input,
            kind,
            is_cancelled: false,
        };
        self.running.insert(number, running);
    }
}
