//! An instance on its way from one step to the next: the transitions.

use std::collections::VecDeque;

use super::{DEFERRED_MAX, Effect, Note, Rejection};
use crate::JsonText;
use crate::expression::{STEPS_MAX, Scope};
use crate::saga::compiled::{ActiveState, CompiledDefinition, Course, Guard, State, Transition};
use crate::saga::definition::Unhandled;
use crate::saga::instance::{Cause, Event, Instance, Phase, SagaEnd, Then, Timer};
use crate::saga::names::{EventName, StateName};
use crate::task::SpecLimits;
use crate::time::Timestamp;

/// How many transitions may follow from one input without anybody having done anything.
pub const ALWAYS_MAX: usize = 100;

/// A guard is true or false.
const TRUTH_MAX_BYTES: usize = 5;

/// Why a transition cannot be made. It quotes no values.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

/// Why something is not done.
#[derive(Debug)]
pub(super) enum Untaken {
    /// It does not fit.
    Rejected(Rejection),
    /// It was to be done, and cannot.
    Failed(Failure),
}

impl From<Rejection> for Untaken {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Failure> for Untaken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What is decided so far.
pub(super) struct Run<'a> {
    pub(super) definition: &'a CompiledDefinition,
    pub(super) limits: &'a SpecLimits,
    pub(super) now: Timestamp,
    pub(super) instance: Instance,
    pub(super) effects: Vec<Effect>,
    pub(super) notes: Vec<Note>,
    /// What it has raised itself.
    pub(super) raised: VecDeque<Event>,
    /// Of [`ALWAYS_MAX`].
    transitions_left: usize,
    /// Of expressions, for all of the step together: a row is locked meanwhile.
    pub(super) steps_left: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        definition: &'a CompiledDefinition,
        instance: Instance,
        limits: &'a SpecLimits,
        now: Timestamp,
    ) -> Self {
        Self {
            definition,
            limits,
            now,
            instance,
            effects: Vec::new(),
            notes: Vec::new(),
            raised: VecDeque::new(),
            transitions_left: ALWAYS_MAX,
            steps_left: STEPS_MAX,
        }
    }

    /// All of it, or nothing.
    pub(super) fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let before = self.instance.clone();
        let (effects, notes, raised) = (self.effects.len(), self.notes.len(), self.raised.len());
        let result = act(self);
        if result.is_err() {
            self.instance = before;
            self.effects.truncate(effects);
            self.notes.truncate(notes);
            self.raised.truncate(raised);
        }
        result
    }

    /// The state it is in, if that is no end.
    fn active(&self) -> Option<&'a ActiveState> {
        match self.definition.state(&self.instance.state) {
            Some(State::Active(state)) => Some(state),
            Some(State::Final(_)) | None => None,
        }
    }

    /// Why an event changes nothing, with those that the state takes.
    pub(super) fn not_taken(&self, event: &Event) -> Rejection {
        let state = self.active();
        Rejection::NotTaken {
            state: self.instance.state.clone(),
            event: event.name.clone(),
            takes: state.iter().flat_map(|state| state.on.keys()).cloned().collect(),
        }
    }

    pub(super) fn start(&mut self, event: Event) -> Result<(), Rejection> {
        let cannot = |Failure(reason)| Rejection::CannotStart(reason);
        self.notes.push(Note::Created);
        self.make_context().map_err(cannot)?;
        if let Some(timeout) = self.definition.timeout() {
            self.effects.push(Effect::StartTimer {
                timer: Timer::Saga,
                at: self.now + timeout.after.duration(),
            });
        }
        self.instance.phase = Phase::Running;
        let initial = &self.definition.definition().initial;
        self.enter(initial, &event).map_err(cannot)?;
        if self.instance.phase != Phase::Running {
            self.notes.push(Note::processed(&event));
            return Ok(());
        }
        match self.raise(&event) {
            Ok(true) => Ok(()),
            // An always led on: what starts it has done its part.
            Ok(false) if self.instance.state != *initial => {
                self.notes.push(Note::processed(&event));
                Ok(())
            }
            Ok(false) => Err(self.not_taken(&event)),
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
        self.attempt(|run| match run.first(candidates, event)? {
            Some(transition) => {
                run.take(transition, event)?;
                run.notes.push(Note::processed(event));
                Ok(true)
            }
            None => Ok(false),
        })
    }

    /// The first whose guard holds.
    fn first<'c>(&mut self, candidates: &'c [Transition], event: &Event) -> Result<Option<&'c Transition>, Failure> {
        for candidate in candidates {
            if self.holds(candidate, event)? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    fn holds(&mut self, transition: &Transition, event: &Event) -> Result<bool, Failure> {
        let Some(Guard { source, expression }) = &transition.guard else {
            return Ok(true);
        };
        let failed = |message: String| Failure(format!("the guard {source:?} cannot be decided: {message}"));
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

    fn take(&mut self, transition: &Transition, event: &Event) -> Result<(), Failure> {
        self.set(&transition.set, event)?;
        self.register(&transition.compensation, event)?;
        match &transition.course {
            Course::Forward { actions, target: None } => {
                let state = self.instance.state.clone();
                self.moved(state, event);
                self.issue_all(actions, event)
            }
            Course::Forward {
                actions,
                target: Some(target),
            } => {
                self.issue_exit(event)?;
                self.issue_all(actions, event)?;
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

    /// To the state it is in, from another or the same.
    fn moved(&mut self, from: StateName, event: &Event) {
        self.notes.push(Note::Transition {
            from,
            to: self.instance.state.clone(),
            event: event.name.clone(),
        });
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
        match self.arrive(target, event) {
            Some(state) => self.begin(state, event),
            None => Ok(()),
        }
    }

    /// What a state starts when it is entered, and where it leads at once.
    fn begin(&mut self, state: &ActiveState, event: &Event) -> Result<(), Failure> {
        self.issue_all(&state.on_entry, event)?;
        match self.first(&state.always, event)? {
            None => Ok(()),
            Some(_) if self.transitions_left == 0 => Err(Failure(format!(
                "more than {ALWAYS_MAX} transitions follow from one event"
            ))),
            Some(transition) => {
                self.transitions_left -= 1;
                self.take(transition, event)
            }
        }
    }

    /// What an entry could not start. If the state was left since, that means nothing any more.
    pub(super) fn enter_again(&mut self, entry: u32, event: &Event) -> Result<(), Untaken> {
        match self.active() {
            Some(state) if entry == self.instance.entry => Ok(self.attempt(|run| run.begin(state, event))?),
            Some(_) | None => Ok(()),
        }
    }

    /// Stands in a state and starts its timers, and nothing else; in a final one, ends.
    pub(super) fn arrive(&mut self, target: &StateName, event: &Event) -> Option<&'a ActiveState> {
        let from = std::mem::replace(&mut self.instance.state, target.clone());
        if self.instance.entry > 0 {
            self.moved(from, event);
        }
        self.instance.entry += 1;
        let entry = self.instance.entry;
        let state = match self.definition.state(target)? {
            State::Final(end) => {
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

    /// What time does.
    pub(super) fn fire(&mut self, timer: Timer) -> Result<(), Untaken> {
        match timer {
            Timer::Saga => self.time_out(),
            Timer::After { entry, .. } | Timer::DefaultAnswer { entry } if entry != self.instance.entry => {
                Err(Rejection::StaleTimer.into())
            }
            Timer::After { index, .. } => self.delayed(timer, index),
            Timer::DefaultAnswer { .. } => self.default_answer(timer),
        }
    }

    /// A delayed transition of the state it is in.
    fn delayed(&mut self, timer: Timer, index: u16) -> Result<(), Untaken> {
        let state = self.active().ok_or(Rejection::StaleTimer)?;
        let delayed = state.after.get(usize::from(index)).ok_or(Rejection::StaleTimer)?;
        self.notes.push(Note::TimedOut { timer });
        let event = of_time("after", format!("after/{}/{index}", self.instance.entry));
        self.attempt(|run| {
            if run.holds(&delayed.transition, &event)? {
                run.take(&delayed.transition, &event)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Nobody has answered.
    fn default_answer(&mut self, timer: Timer) -> Result<(), Untaken> {
        let state = self.active().ok_or(Rejection::StaleTimer)?;
        let input = state.await_input.as_ref().ok_or(Rejection::StaleTimer)?;
        let default = input.default_after.as_ref().ok_or(Rejection::StaleTimer)?;
        self.notes.push(Note::TimedOut { timer });
        let event = Event {
            id: format!("default/{}", self.instance.entry),
            name: input.event.clone(),
            data: default.data.clone(),
        };
        if self.raise(&event)? {
            Ok(())
        } else {
            let reason = "no guard of the state holds for the default answer";
            Err(Failure(reason.to_owned()).into())
        }
    }

    /// Where the timeout of the saga leads, which is over now.
    pub(super) fn timeout_target(&mut self) -> Option<Then> {
        let timeout = self.definition.timeout()?;
        self.notes.push(Note::TimedOut { timer: Timer::Saga });
        self.instance.is_timed_out = true;
        Some(Then::Enter {
            target: timeout.target.clone(),
            event: of_time("timeout", "timeout".to_owned()),
        })
    }

    fn time_out(&mut self) -> Result<(), Untaken> {
        let timeout = self.definition.timeout().ok_or(Rejection::StaleTimer)?;
        match self.timeout_target().ok_or(Rejection::StaleTimer)? {
            Then::Enter { target, event } if !timeout.compensate => {
                self.attempt(|run| {
                    run.issue_exit(&event)?;
                    run.leave();
                    run.enter(&target, &event)
                })?;
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
            Ok(false) => match self.definition.definition().unhandled {
                Unhandled::Reject => self.notes.push(Note::EventRejected {
                    reason: self.not_taken(&event).to_string(),
                    id: event.id,
                    name: event.name,
                }),
                Unhandled::Ignore => self.notes.push(Note::ignored(&event)),
                Unhandled::Defer if self.instance.deferred.len() < DEFERRED_MAX => {
                    self.notes.push(Note::deferred(&event));
                    self.instance.deferred.push(event);
                }
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
