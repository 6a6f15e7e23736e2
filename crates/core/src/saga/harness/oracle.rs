//! The rules of compensation, as one who only watches would hold a saga to them.

use super::armed::Armed;
use super::registered::{self, Options};
use crate::saga::definition::{Definition, OnCompensationFailure};
use crate::saga::instance::{Outcome, Phase};
use crate::saga::simulate::{RunningKind, World};
use crate::saga::step::{Effect, Input, Note, Purpose, Step};

/// What was registered and neither undone nor given up, the newest last.
#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    registered: Vec<(u32, String)>,
    undoing: Option<u32>,
    armed: Armed,
}

impl Oracle {
    /// # Errors
    /// The rule that is broken.
    pub(super) fn observe(
        &mut self,
        definition: &Definition,
        before: &World,
        input: &Input,
        after: &World,
        step: &Step,
    ) -> Result<(), String> {
        self.ended(definition, input)?;
        let (was_back, is_back) = (goes_back(before), goes_back(after));
        if was_back
            && !is_back
            && let Some((_, name)) = self.registered.last()
        {
            return Err(format!("{name} was registered and is not undone"));
        }
        let armed = self.armed.options(definition, &before.instance, input);
        self.armed
            .observe(&before.instance, input, &after.instance, &step.effects);
        self.registers(definition, before, armed, after, step)?;
        for effect in &step.effects {
            self.allows(effect, was_back && is_back)?;
        }
        running(after, self.undoing)?;
        let has_moved = step.notes.iter().any(|note| matches!(note, Note::Transition { .. }));
        let is_same_phase =
            std::mem::discriminant(&before.instance.phase) == std::mem::discriminant(&after.instance.phase);
        if !has_moved && is_same_phase && before.instance.context != after.instance.context {
            return Err("the context has changed without a transition".to_owned());
        }
        Ok(())
    }

    /// What the end of a compensation, or the word of a person, takes off.
    fn ended(&mut self, definition: &Definition, input: &Input) -> Result<(), String> {
        let (number, is_off) = match input {
            Input::CompensationEnded { number, outcome } => {
                if self.undoing.take() != Some(*number) {
                    return Err(format!("compensation {number} has ended and was not running"));
                }
                let is_off = match outcome {
                    Outcome::Succeeded { .. } => true,
                    Outcome::Unsuccessful { .. } => {
                        definition.on_compensation_failure == OnCompensationFailure::Continue
                    }
                };
                (*number, is_off)
            }
            Input::CompensationSkipped { number } => (*number, true),
            Input::CompensationRetried { number } => (*number, false),
            Input::Started(_)
            | Input::EventRaised(_)
            | Input::TaskEnded { .. }
            | Input::TimerFired(_)
            | Input::CancelRequested
            | Input::ParkedRetried { .. }
            | Input::ParkedDiscarded { .. }
            | Input::Retried { .. } => return Ok(()),
        };
        if self.registered.last().map(|(newest, _)| *newest) != Some(number) {
            return Err(format!("compensation {number} is not the newest"));
        }
        if is_off {
            self.registered.pop();
        }
        Ok(())
    }

    /// What is on the stack is what was, and what the definition says of what has just happened.
    fn registers(
        &mut self,
        definition: &Definition,
        before: &World,
        armed: Options,
        after: &World,
        step: &Step,
    ) -> Result<(), String> {
        if matches!(after.instance.phase, Phase::Ending { .. } | Phase::Ended { .. }) {
            // It ends where it does not go back: what was done stays.
            self.registered.clear();
            return Ok(());
        }
        let stack: Vec<(u32, String)> = after
            .instance
            .stack
            .iter()
            .map(|undo| (undo.number, undo.task.name.clone()))
            .collect();
        let Some(new) = stack.strip_prefix(self.registered.as_slice()) else {
            return Err(format!("what is registered is {stack:?} and was {:?}", self.registered));
        };
        let names: Vec<&str> = new.iter().map(|(_, name)| name.as_str()).collect();
        if !registered::explains(definition, before, armed, after, &step.notes, &names) {
            return Err(format!(
                "what is registered, {names:?}, is not what the definition says"
            ));
        }
        self.registered = stack;
        Ok(())
    }

    fn allows(&mut self, effect: &Effect, is_on_the_way_back: bool) -> Result<(), String> {
        match effect {
            Effect::IssueTask {
                number,
                purpose: Purpose::Compensation,
                task,
            } => {
                if let Some(other) = self.undoing {
                    return Err(format!("{} begins while compensation {other} runs", task.name));
                }
                match self.registered.last() {
                    Some((newest, name)) if newest == number && name == task.name.as_str() => {
                        self.undoing = Some(*number);
                        Ok(())
                    }
                    newest => Err(format!("{} is undone, and the newest is {newest:?}", task.name)),
                }
            }
            Effect::IssueTask {
                purpose: Purpose::Forward,
                task,
                ..
            } if is_on_the_way_back => Err(format!("{} begins while all is undone", task.name)),
            Effect::StartSaga { saga, .. } if is_on_the_way_back => Err(format!("{saga} begins while all is undone")),
            Effect::IssueTask { .. }
            | Effect::StartSaga { .. }
            | Effect::CancelTask { .. }
            | Effect::StartTimer { .. }
            | Effect::StopTimers { .. }
            | Effect::Finished { .. } => Ok(()),
        }
    }
}

pub(super) fn goes_back(world: &World) -> bool {
    matches!(
        world.instance.phase,
        Phase::Settling { .. } | Phase::Undoing { .. } | Phase::Stuck { .. }
    )
}

/// What may run in each phase.
fn running(world: &World, undoing: Option<u32>) -> Result<(), String> {
    let of = |wanted: bool| {
        let running = world.running.values();
        running.filter(move |running| (running.kind == RunningKind::Compensation) == wanted)
    };
    let compensations: Vec<u32> = of(true).map(|running| running.number).collect();
    let (forward, uncancelled) = (
        of(false).count(),
        of(false).filter(|running| !running.is_cancelled).count(),
    );
    let numbers: Vec<u32> = world.instance.live.keys().copied().collect();
    let running: Vec<u32> = of(false).map(|running| running.number).collect();
    if numbers != running {
        return Err(format!("the saga waits for {numbers:?}, and {running:?} run"));
    }
    let is_allowed = match &world.instance.phase {
        Phase::Created => world.running.is_empty(),
        Phase::Running => compensations.is_empty(),
        Phase::Ending { .. } | Phase::Settling { .. } => compensations.is_empty() && forward > 0 && uncancelled == 0,
        Phase::Undoing { .. } => forward == 0 && compensations.len() == 1 && compensations.first().copied() == undoing,
        Phase::Stuck { .. } => world.running.is_empty() && undoing.is_none(),
        Phase::Ended { .. } => world.running.is_empty() && world.timers.is_empty() && world.end.is_some(),
    };
    if is_allowed {
        Ok(())
    } else {
        Err(format!(
            "{forward} tasks run, {uncancelled} of them not cancelled, and {} compensations, in the phase {:?}",
            compensations.len(),
            world.instance.phase
        ))
    }
}
