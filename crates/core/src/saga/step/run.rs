//! An instance on its way from one step to the next: the transitions.

use std::collections::VecDeque;

use super::{DEFERRED_MAX, Effect, Rejection};
use crate::JsonText;
use crate::expression::{Expression, STEPS_MAX, Scope};
use crate::saga::definition::{ActiveState, Candidate, Course, Definition, State, Unhandled};
use crate::saga::instance::{Cause, Event, Instance, Parked, Phase, SagaEnd, Then, Timer};
use crate::saga::names::{EventName, StateName};
use crate::saga::validate::VARIABLES;
use crate::task::SpecLimits;
use crate::time::Timestamp;

/// How many transitions may follow from one input without anybody having done anything.
pub const ALWAYS_MAX: usize = 100;

/// A guard is true or false.
const TRUTH_MAX_BYTES: usize = 5;

/// Why a transition cannot be made. It quotes no values.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

/// What is decided so far.
pub(super) struct Run<'a> {
    pub(super) definition: &'a Definition,
    pub(super) limits: &'a SpecLimits,
    pub(super) now: Timestamp,
    pub(super) instance: Instance,
    pub(super) effects: Vec<Effect>,
    /// What it has raised itself.
    pub(super) raised: VecDeque<Event>,
    /// Of [`ALWAYS_MAX`].
    transitions_left: usize,
    /// Of expressions, for all of the step together: a row is locked meanwhile.
    pub(super) steps_left: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(definition: &'a Definition, instance: Instance, limits: &'a SpecLimits, now: Timestamp) -> Self {
        Self {
            definition,
            limits,
            now,
            instance,
            effects: Vec::new(),
            raised: VecDeque::new(),
            transitions_left: ALWAYS_MAX,
            steps_left: STEPS_MAX,
        }
    }

    /// All of it, or nothing.
    pub(super) fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let before = self.instance.clone();
        let (effects, raised) = (self.effects.len(), self.raised.len());
        let result = act(self);
        if result.is_err() {
            self.instance = before;
            self.effects.truncate(effects);
            self.raised.truncate(raised);
        }
        result
    }

    pub(super) fn park(&mut self, cause: Cause, Failure(reason): Failure) {
        self.instance.parked.push(Parked { cause, reason });
    }

    /// The state it is in, if that is no end.
    fn active(&self) -> Option<&'a ActiveState> {
        match self.definition.states.get(&self.instance.state) {
            Some(State::Active(state)) => Some(state),
            Some(State::Final { .. }) | None => None,
        }
    }

    /// The events that the state takes.
    pub(super) fn takes(&self) -> Vec<EventName> {
        let state = self.active();
        state.iter().flat_map(|state| state.on.keys()).cloned().collect()
    }

    pub(super) fn start(&mut self, event: Event) -> Result<(), Rejection> {
        let cannot = |Failure(reason)| Rejection::CannotStart(reason);
        self.make_context().map_err(cannot)?;
        if let Some(timeout) = &self.definition.timeout {
            self.effects.push(Effect::StartTimer {
                timer: Timer::Saga,
                at: self.now + timeout.after.duration(),
            });
        }
        self.instance.phase = Phase::Running;
        let initial = &self.definition.initial;
        self.enter(initial, &event).map_err(cannot)?;
        if self.instance.phase != Phase::Running {
            return Ok(());
        }
        match self.raise(&event) {
            Ok(true) => Ok(()),
            // An always led on: what starts it has done its part.
            Ok(false) if self.instance.state != *initial => Ok(()),
            Ok(false) => Err(Rejection::NotTaken {
                state: self.instance.state.clone(),
                takes: self.takes(),
                event: event.name,
            }),
            Err(failure) => {
                self.park(Cause::Event(event), failure);
                Ok(())
            }
        }
    }

    /// Whether the state has a transition for it, which is taken then.
    pub(super) fn raise(&mut self, event: &Event) -> Result<bool, Failure> {
        let candidates = self.active().and_then(|state| state.on.get(&event.name));
        let Some(candidates) = candidates else { return Ok(false) };
        self.attempt(|run| match run.first(candidates.as_slice(), event)? {
            Some(candidate) => run.take(candidate, event).map(|()| true),
            None => Ok(false),
        })
    }

    /// The first whose guard holds.
    fn first<'c>(&mut self, candidates: &'c [Candidate], event: &Event) -> Result<Option<&'c Candidate>, Failure> {
        for candidate in candidates {
            if self.holds(candidate, event)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    fn holds(&mut self, candidate: &Candidate, event: &Event) -> Result<bool, Failure> {
        let Some(guard) = &candidate.guard else { return Ok(true) };
        let failed = |message: String| Failure(format!("the guard {guard:?} cannot be decided: {message}"));
        let expression = Expression::compile(guard, &VARIABLES).map_err(|invalid| failed(invalid.to_string()))?;
        let scope = self.scope(event, None);
        let value = expression.evaluate(&scope, TRUTH_MAX_BYTES);
        self.spent(&scope);
        match value.as_ref().map(JsonText::as_str) {
            Ok("true") => Ok(true),
            Ok("false") => Ok(false),
            Ok(_) => Err(failed("it is neither true nor false".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Takes note of the steps that were used.
    pub(super) fn spent(&mut self, scope: &Scope) {
        self.steps_left = STEPS_MAX.saturating_sub(scope.steps_taken());
    }

    fn take(&mut self, candidate: &Candidate, event: &Event) -> Result<(), Failure> {
        self.set(&candidate.set, event)?;
        self.register(&candidate.compensation, event)?;
        match &candidate.course {
            Course::Forward { tasks, target: None } => self.issue_all(tasks, event),
            Course::Forward {
                tasks,
                target: Some(target),
            } => {
                self.issue_exit(event)?;
                self.issue_all(tasks, event)?;
                self.leave();
                self.enter(target, event)
            }
            Course::Compensate { target } => {
                self.undo(Then::Enter {
                    target: target.clone(),
                    event: event.clone(),
                });
                Ok(())
            }
        }
    }

    fn issue_exit(&mut self, event: &Event) -> Result<(), Failure> {
        match self.active() {
            Some(state) => self.issue_all(&state.on_exit, event),
            None => Ok(()),
        }
    }

    /// The timers of the state end with it.
    pub(super) fn leave(&mut self) {
        let has_timers = self.active().is_some_and(|state| {
            let input = state.await_input.as_ref();
            !state.after.is_empty() || input.is_some_and(|input| input.default_after.is_some())
        });
        if has_timers {
            self.effects.push(Effect::StopTimers {
                entry: self.instance.entry,
            });
        }
        self.instance.awaiting = None;
    }

    pub(super) fn enter(&mut self, target: &StateName, event: &Event) -> Result<(), Failure> {
        let Some(state) = self.arrive(target) else {
            return Ok(());
        };
        self.issue_all(&state.on_entry, event)?;
        match self.first(&state.always, event)? {
            None => Ok(()),
            Some(_) if self.transitions_left == 0 => Err(Failure(format!(
                "more than {ALWAYS_MAX} transitions follow from one event"
            ))),
            Some(candidate) => {
                self.transitions_left -= 1;
                self.take(candidate, event)
            }
        }
    }

    /// Stands in a state and starts its timers, and nothing else; in a final one, ends.
    pub(super) fn arrive(&mut self, target: &StateName) -> Option<&'a ActiveState> {
        self.instance.state = target.clone();
        self.instance.entry += 1;
        let entry = self.instance.entry;
        let state = match self.definition.states.get(target)? {
            State::Final { end } => {
                self.end(self.instance.end(*end));
                return None;
            }
            State::Active(state) => state,
        };
        for (index, delayed) in (0..).zip(&state.after) {
            self.effects.push(Effect::StartTimer {
                timer: Timer::After { entry, index },
                at: self.now + delayed.delay.duration(),
            });
        }
        self.instance.awaiting = state.await_input.as_ref().map(|input| input.event.clone());
        let default_after = state
            .await_input
            .as_ref()
            .and_then(|input| input.default_after.as_ref());
        if let Some(default) = default_after {
            self.effects.push(Effect::StartTimer {
                timer: Timer::DefaultAnswer { entry },
                at: self.now + default.delay.duration(),
            });
        }
        Some(state)
    }

    fn end(&mut self, end: SagaEnd) {
        self.instance.stack.clear();
        self.instance.joins.clear();
        if self.cancel_live() {
            self.instance.phase = Phase::Ending { end };
        } else {
            self.finish(end);
        }
    }

    /// A delayed transition of the state it is in.
    pub(super) fn delayed(&mut self, timer: Timer, index: u16) -> Result<(), Rejection> {
        let state = self.active().ok_or(Rejection::StaleTimer)?;
        let delayed = state.after.get(usize::from(index)).ok_or(Rejection::StaleTimer)?;
        let event = of_time("after", format!("after/{}/{index}", self.instance.entry));
        let taken = self.attempt(|run| {
            if run.holds(&delayed.candidate, &event)? {
                run.take(&delayed.candidate, &event)?;
            }
            Ok(())
        });
        if let Err(failure) = taken {
            self.park(Cause::Timer(timer), failure);
        }
        Ok(())
    }

    /// Nobody has answered.
    pub(super) fn default_answer(&mut self, timer: Timer) -> Result<(), Rejection> {
        let state = self.active().ok_or(Rejection::StaleTimer)?;
        let input = state.await_input.as_ref().ok_or(Rejection::StaleTimer)?;
        let default = input.default_after.as_ref().ok_or(Rejection::StaleTimer)?;
        let event = Event {
            id: format!("default/{}", self.instance.entry),
            name: input.event.clone(),
            data: default.data.clone(),
        };
        match self.raise(&event) {
            Ok(true) => {}
            Ok(false) => self.park(
                Cause::Timer(timer),
                Failure("no guard of the state holds for the default answer".to_owned()),
            ),
            Err(failure) => self.park(Cause::Timer(timer), failure),
        }
        Ok(())
    }

    /// Where the timeout of the saga leads, which is over now.
    pub(super) fn timeout_target(&mut self) -> Option<Then> {
        let timeout = self.definition.timeout.as_ref()?;
        self.instance.is_timed_out = true;
        Some(Then::Enter {
            target: timeout.target.clone(),
            event: of_time("timeout", "timeout".to_owned()),
        })
    }

    pub(super) fn time_out(&mut self) -> Result<(), Rejection> {
        let timeout = self.definition.timeout.as_ref().ok_or(Rejection::StaleTimer)?;
        let then = self.timeout_target().ok_or(Rejection::StaleTimer)?;
        match then {
            Then::Enter { target, event } if !timeout.compensate => {
                let entered = self.attempt(|run| {
                    run.issue_exit(&event)?;
                    run.leave();
                    run.enter(&target, &event)
                });
                if let Err(failure) = entered {
                    self.park(Cause::Timer(Timer::Saga), failure);
                }
            }
            then @ (Then::Enter { .. } | Then::Cancelled) => self.undo(then),
        }
        Ok(())
    }

    /// What it has raised itself, then what waited for the state it is in.
    pub(super) fn settle(&mut self) {
        while self.instance.phase == Phase::Running
            && let Some(event) = self.raised.pop_front()
        {
            self.internal(event);
        }
        let mut index = 0;
        while self.instance.phase == Phase::Running && index < self.instance.deferred.len() {
            let event = self.instance.deferred[index].clone();
            match self.raise(&event) {
                Ok(false) => index += 1,
                Ok(true) => {
                    self.instance.deferred.remove(index);
                    index = 0;
                }
                Err(failure) => {
                    self.instance.deferred.remove(index);
                    self.park(Cause::Event(event), failure);
                }
            }
        }
    }

    /// The end of a task, or of many: one that the state does not take is dropped.
    fn internal(&mut self, event: Event) {
        if self.transitions_left == 0 {
            let failure = Failure(format!("more than {ALWAYS_MAX} transitions follow from one event"));
            self.park(Cause::Event(event), failure);
            return;
        }
        self.transitions_left -= 1;
        match self.raise(&event) {
            Ok(true) => {}
            Ok(false) => match self.definition.unhandled {
                Unhandled::Reject | Unhandled::Ignore => {}
                Unhandled::Defer if self.instance.deferred.len() < DEFERRED_MAX => self.instance.deferred.push(event),
                Unhandled::Defer => {
                    let failure = Failure(Rejection::TooManyDeferred.to_string());
                    self.park(Cause::Event(event), failure);
                }
            },
            Err(failure) => self.park(Cause::Event(event), failure),
        }
    }
}

/// What expressions see where time is what happened.
fn of_time(name: &'static str, id: String) -> Event {
    Event {
        id,
        name: EventName::new(name).expect("a name"),
        data: JsonText::null(),
    }
}
