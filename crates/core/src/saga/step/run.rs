//! An instance on its way from one step to the next: the transitions.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::actions::event_json;
use super::bounds::MADE_MAX_BYTES;
use super::timers::timers_of_entry;
use super::{Cost, Effect, Note, Rejection};
use crate::JsonText;
use crate::expression::{EvaluationError, STEPS_MAX, Scope};
use crate::saga::compiled::{Action, ActiveState, CheckedAnswer, CompiledDefinition, Course, Guard, State, Transition};
use crate::saga::definition::{self, Unhandled};
use crate::saga::instance::{Cause, Event, Instance, Phase, SagaEnd, Then, Timer};
use crate::saga::mutant::{Mutant, is_planted};
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
    pub(super) instance: &'a mut Instance,
    pub(super) effects: Vec<Effect>,
    pub(super) notes: Vec<Note>,
    /// What it has raised itself.
    pub(super) raised: VecDeque<Raised>,
    /// Of [`ALWAYS_MAX`].
    transitions_left: usize,
    /// Of expressions, for all of the step together: a row is locked meanwhile.
    pub(super) steps_left: u64,
    /// Of [`MADE_MAX_BYTES`].
    pub(super) bytes_left: usize,
    /// How many steps take as long as the checks of answers took.
    checked: u64,
    /// How many things were gone through that the instance holds.
    pub(super) gone_through: usize,
    /// How much is parked and not among the parked while others of it are taken again.
    pub(super) set_aside: usize,
    /// What expressions see on an event.
    scope: Option<(Event, Arc<Scope>)>,
    /// The context has changed since.
    is_context_new: bool,
}

/// What a saga raises when a task of it, or many, have ended.
pub(super) struct Raised {
    pub(super) event: Event,
    pub(super) is_failure: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        definition: &'a CompiledDefinition,
        instance: &'a mut Instance,
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
            bytes_left: MADE_MAX_BYTES,
            checked: 0,
            gone_through: 0,
            set_aside: 0,
            scope: None,
            is_context_new: false,
        }
    }

    /// All of it, or nothing. What failed has cost its steps, and nothing else.
    pub(super) fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let before = self.instance.clone();
        self.went_through(&before);
        let (effects, notes, raised) = (self.effects.len(), self.notes.len(), self.raised.len());
        let bytes_left = self.bytes_left;
        let result = act(self).and_then(|done| self.bound_held(&before, raised).map(|()| done));
        if result.is_err() {
            *self.instance = before;
            self.context_changed();
            self.bytes_left = bytes_left;
            self.effects.truncate(effects);
            self.notes.truncate(notes);
            self.raised.truncate(raised);
        }
        result
    }

    /// The state it is in, if that is no end.
    pub(super) fn active(&self) -> Option<&'a ActiveState> {
        match self.definition.state(&self.instance.state) {
            Some(State::Active(state)) => Some(state),
            Some(State::Final(_)) | None => None,
        }
    }

    /// Why an event changes nothing, with those that the state takes.
    pub(super) fn not_taken(&self, event: &Event) -> Rejection {
        let (state, event) = (self.instance.state.clone(), event.name.clone());
        let takes: Box<[EventName]> = match self.active() {
            Some(active) => active.on.keys().cloned().collect(),
            None => Box::default(),
        };
        if takes.contains(&event) {
            Rejection::NoGuardHolds { state, event, takes }
        } else {
            Rejection::NotTaken { state, event, takes }
        }
    }

    /// Refuses an event that no state of the definition takes.
    pub(super) fn require_known(&self, event: &Event) -> Result<(), Rejection> {
        let states = self.definition.definition().states.values();
        let takes: BTreeSet<&EventName> = states.flat_map(definition::State::takes).collect();
        if takes.contains(&event.name) {
            return Ok(());
        }
        Err(Rejection::Unknown {
            event: event.name.clone(),
            takes: takes.into_iter().cloned().collect(),
        })
    }

    pub(super) fn start(&mut self, event: &Event) -> Result<(), Rejection> {
        let cannot = |Failure(reason)| Rejection::cannot_start(reason);
        self.notes.push(Note::Created);
        self.make_context()?;
        self.bound_context().map_err(cannot)?;
        if let Some(timeout) = self.definition.timeout() {
            self.effects.push(Effect::StartTimer {
                timer: Timer::Saga,
                at: self.now + timeout.after.duration(),
            });
        }
        self.instance.phase = Phase::Running;
        let initial = &self.definition.definition().initial;
        self.enter(initial, event).map_err(cannot)?;
        if self.instance.phase != Phase::Running {
            self.notes.push(Note::processed(event));
            return Ok(());
        }
        self.admit(event)?;
        // Where it fails, whoever starts it can do so again with what is missing: nothing of it is there.
        if self.raise(event).map_err(cannot)? {
            return Ok(());
        }
        if self.instance.state == *initial {
            return Err(self.not_taken(event));
        }
        // An always led on: what starts it has done its part.
        self.notes.push(Note::processed(event));
        Ok(())
    }

    /// Whether an event from outside is what the state asks for, and meets its schema.
    pub(super) fn admit(&mut self, event: &Event) -> Result<(), Rejection> {
        let question = self.active().and_then(|state| state.question.as_ref());
        let schema = question
            .filter(|question| question.input.event == event.name)
            .and_then(|question| question.schema.as_ref());
        let Some(schema) = schema else { return Ok(()) };
        let CheckedAnswer { steps, broken } = schema.check(&event.data);
        self.checked += steps;
        broken.map_err(|violations| Rejection::InvalidAnswer {
            event: event.name.clone(),
            violations,
        })
    }

    /// Whether the state has a transition for it, which is taken then.
    pub(super) fn raise(&mut self, event: &Event) -> Result<bool, Failure> {
        let candidates = self.active().and_then(|state| state.on.get(&event.name));
        let Some(candidates) = candidates else { return Ok(false) };
        // Guards change nothing.
        let Some(transition) = self.first(candidates, event)? else {
            return Ok(false);
        };
        self.attempt(|run| {
            run.take(transition, event)?;
            run.notes.push(Note::processed(event));
            Ok(true)
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

    pub(super) fn holds(&mut self, transition: &Transition, event: &Event) -> Result<bool, Failure> {
        let Some(Guard { source, expression }) = &transition.guard else {
            return Ok(true);
        };
        let failed = |message: String| Failure(format!("the guard {source:?} cannot be decided: {message}"));
        let scope = self.scope_on(event);
        let value = expression.evaluate(&scope, TRUTH_MAX_BYTES);
        self.spent(&scope);
        match value.as_ref().map(JsonText::as_str) {
            Ok("true") => Ok(true),
            Ok("false") => Ok(false),
            Ok(_) | Err(EvaluationError::TooLarge { .. }) => Err(failed("it is neither true nor false".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    pub(super) fn scope_on(&mut self, event: &Event) -> Arc<Scope> {
        let scope = match &self.scope {
            Some((on, scope)) if on == event => {
                if !self.is_context_new {
                    return Arc::clone(scope);
                }
                scope.replacing("context", self.instance.context_json())
            }
            Some((_, scope)) => {
                let scope = scope.replacing("event", event_json(event));
                if self.is_context_new {
                    scope.replacing("context", self.instance.context_json())
                } else {
                    scope
                }
            }
            None => self.scope(event),
        };
        let scope = Arc::new(scope);
        self.is_context_new = false;
        self.scope = Some((event.clone(), Arc::clone(&scope)));
        scope
    }

    /// Expressions see the new one; what they read of the event and the input they do not read again.
    pub(super) const fn context_changed(&mut self) {
        self.is_context_new = true;
    }

    /// What it has used.
    pub(super) const fn cost(&self) -> Cost {
        Cost {
            steps: STEPS_MAX - self.steps_left + self.checked,
            bytes: MADE_MAX_BYTES - self.bytes_left,
            parts: self.gone_through,
        }
    }

    /// Takes note of what was copied, or gone through as a whole.
    pub(super) fn went_through(&mut self, instance: &Instance) {
        self.gone_through += instance.parts();
    }

    /// Takes note of the steps that were used.
    pub(super) fn spent(&mut self, scope: &Scope) {
        self.steps_left = STEPS_MAX.saturating_sub(scope.steps_taken());
    }

    pub(super) fn take(&mut self, transition: &Transition, event: &Event) -> Result<(), Failure> {
        if !transition.set.is_empty() {
            let scope = self.scope_on(event);
            self.set(&transition.set, &scope)?;
        }
        if !transition.compensation.is_empty() {
            let scope = self.scope_on(event);
            self.register(&transition.compensation, &scope)?;
        }
        match &transition.course {
            Course::Forward { actions, target: None } => {
                let state = self.instance.state.clone();
                self.moved(state, event);
                self.issue_on(actions, event)
            }
            Course::Forward {
                actions,
                target: Some(target),
            } => {
                self.issue_exit(event)?;
                self.issue_on(actions, event)?;
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

    pub(super) fn issue_exit(&mut self, event: &Event) -> Result<(), Failure> {
        match self.active() {
            Some(state) => self.issue_on(&state.on_exit, event),
            None => Ok(()),
        }
    }

    fn issue_on(&mut self, actions: &[Action], event: &Event) -> Result<(), Failure> {
        if actions.is_empty() {
            return Ok(());
        }
        let scope = self.scope_on(event);
        self.issue_all(actions, &scope)
    }

    /// The timers of the state end with it.
    pub(super) fn leave(&mut self) {
        let has_timers = self.active().is_some_and(|state| {
            let input = state.question.as_ref().map(|question| &question.input);
            let waits = input.is_some_and(|input| input.default_after.is_some() || !input.reminders.is_empty());
            !state.after.is_empty() || waits
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
        self.issue_on(&state.on_entry, event)?;
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
        self.instance.awaiting = state.question.as_ref().map(|question| question.input.event.clone());
        self.effects.extend(timers_of_entry(state, entry, self.now));
        Some(state)
    }

    fn end(&mut self, end: SagaEnd) {
        self.instance.stack.clear();
        self.instance.joins.clear();
        if self.cancel_live() && !is_planted(Mutant::EndsWithLiveTasks) {
            self.instance.phase = Phase::Ending { end };
        } else {
            self.finish(end);
        }
    }

    /// What it has raised itself, then what waited for the state it is in, until nothing is left that it takes.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(raised) = self.raised.pop_front() {
                self.internal(raised);
            }
            if !self.take_deferred() {
                break;
            }
        }
        if let Phase::Ended { .. } = self.instance.phase {
            for event in std::mem::take(&mut self.instance.deferred) {
                self.notes.push(Note::rejected(&event, Rejection::Over.to_string()));
            }
        }
    }

    /// Whether one that waited was taken, or was to be.
    fn take_deferred(&mut self) -> bool {
        let mut index = 0;
        while self.instance.phase == Phase::Running && index < self.instance.deferred.len() {
            let event = self.instance.deferred.remove(index);
            if !Event::is_own(&event.id)
                && let Err(rejection) = self.admit(&event)
            {
                self.notes.push(Note::rejected(&event, rejection.to_string()));
                continue;
            }
            match self.raise(&event) {
                Ok(true) => return true,
                Ok(false) => {
                    self.instance.deferred.insert(index, event);
                    index += 1;
                }
                Err(failure) => {
                    // One from outside that failed at once would have been refused, too.
                    match self.bound_parked(&event, &failure) {
                        Err(rejection) if !Event::is_own(&event.id) => {
                            self.notes.push(Note::rejected(&event, rejection.to_string()));
                        }
                        Err(_) | Ok(()) => self.park(Cause::Event(event), failure),
                    }
                    return true;
                }
            }
        }
        false
    }

    /// The end of a task, or of many. Of one that the state does not take somebody is to hear if it is a failure, or if the state was
    /// to take it and no guard holds: nothing else may lead on. What comes when the saga has gone on without it is dropped.
    fn internal(&mut self, Raised { event, is_failure }: Raised) {
        let reason = match &self.instance.phase {
            Phase::Created | Phase::Running => {
                if self.transitions_left == 0 {
                    let failure = Failure(format!("more than {ALWAYS_MAX} transitions follow from one event"));
                    self.park(Cause::Event(event), failure);
                    return;
                }
                self.transitions_left -= 1;
                match self.raise(&event) {
                    Ok(true) => return,
                    Ok(false) => self.not_taken(&event),
                    Err(failure) => return self.park(Cause::Event(event), failure),
                }
            }
            // What came before it in the same step has begun the way back, or the end.
            Phase::Settling { .. } | Phase::Undoing { .. } | Phase::Stuck { .. } => Rejection::Compensating,
            Phase::Ending { .. } | Phase::Ended { .. } => Rejection::Over,
        };
        let leads_nowhere = matches!(reason, Rejection::NoGuardHolds { .. })
            || (is_failure && matches!(reason, Rejection::NotTaken { .. }));
        match self.definition.definition().unhandled {
            Unhandled::Reject if leads_nowhere => self.park(Cause::Event(event), Failure(reason.to_string())),
            Unhandled::Reject => self.notes.push(Note::rejected(&event, reason.to_string())),
            Unhandled::Ignore => self.notes.push(Note::ignored(&event)),
            Unhandled::Defer => match self.bound_deferred(&event) {
                Ok(()) => {
                    self.notes.push(Note::deferred(&event));
                    self.instance.deferred.push(event);
                }
                Err(rejection) => self.park(Cause::Event(event), Failure(rejection.to_string())),
            },
        }
    }
}
