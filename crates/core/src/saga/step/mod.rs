//! What an input does to an instance: the one function that decides, and everything it decides.
//!
//! ```text
//!   Created ─Started─► Running ──── final state ───► Ending ──────► Ended
//!                        │  ▲                          (live tasks)   ▲
//!             compensate │  │ the target is no end                    │
//!                        ▼  │                                         │
//!                     Settling ──► Undoing ──► target or Cancelled ───┘
//!                   (live tasks)    │  ▲
//!                             fails ▼  │ retried, skipped
//!                                  Stuck
//! ```
//!
//! A transition is all or nothing: if one of its expressions fails, nothing of it is left but what was to be done and the reason
//! ([`Parked`](super::Parked)), until a person has it taken again or gives it up. Nothing new starts between the moment at which all is to be undone and the target's entry.

mod actions;
mod bounds;
mod joins;
mod note;
mod parked;
mod run;
mod timers;
mod undo;

#[cfg(test)]
mod tests;

use super::compiled::CompiledDefinition;
use super::definition::{Fields, Unhandled};
use super::instance::{Cause, Event, Instance, Outcome, Phase, SagaEnd, Then, Timer};
use super::mutant::{Mutant, is_planted};
use super::names::{DefinitionName, EventName, StateName};
use crate::JsonText;
use crate::task::{SpecLimits, TaskDraft, Violations, coded, in_a_line};
use crate::time::Timestamp;

use self::run::{Run, Untaken};

pub(super) use self::timers::timers_of_entry;

pub use self::bounds::{COMPENSATIONS_MAX, DEFERRED_MAX, HELD_MAX_BYTES, LIVE_MAX, MADE_MAX_BYTES, PARKED_MAX};
pub use self::note::{CompensationChange, Note};
pub use self::run::ALWAYS_MAX;

/// What happens to an instance.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// It begins, on this event.
    Started(Event),
    EventRaised(Event),
    /// A forward task or a child saga.
    TaskEnded {
        number: u32,
        outcome: Outcome,
    },
    TimerFired(Timer),
    CompensationEnded {
        number: u32,
        outcome: Outcome,
    },
    CancelRequested,
    /// A person wants the one that is stuck to run again.
    CompensationRetried {
        number: u32,
    },
    /// A person has seen to it.
    CompensationSkipped {
        number: u32,
    },
    /// A person wants what is parked to be taken again.
    ParkedRetried {
        number: u32,
    },
    /// A person gives it up.
    ParkedDiscarded {
        number: u32,
    },
    /// A person wants all that is parked to be taken again, with these fields in the context.
    Retried {
        context: Fields,
    },
}

coded! {
    /// What a task is for.
    Purpose {
        Forward = 0,
        Compensation = 1,
    }
}

/// What an input comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub instance: Instance,
    pub effects: Vec<Effect>,
    /// For those who want to know what happened.
    pub notes: Vec<Note>,
}

/// What a step decides beside the instance that it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    pub effects: Vec<Effect>,
    pub notes: Vec<Note>,
}

/// What a step has used, whether anything came of it or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Of its expressions, of [`STEPS_MAX`](crate::expression::STEPS_MAX), and those that would take as long as its checks of answers.
    pub steps: u64,
    /// Of the tasks and child sagas that it makes.
    pub bytes: usize,
    /// How many things that the instance holds it has copied, or gone through: a transition keeps what was before it.
    pub parts: usize,
}

/// What is written with the instance.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    IssueTask {
        number: u32,
        purpose: Purpose,
        task: Box<TaskDraft>,
    },
    StartSaga {
        number: u32,
        saga: DefinitionName,
        correlation_id: String,
        input: JsonText,
    },
    /// A forward task or a child saga.
    CancelTask {
        number: u32,
    },
    StartTimer {
        timer: Timer,
        at: Timestamp,
    },
    /// Those of an entry.
    StopTimers {
        entry: u32,
    },
    /// It is over: its timeout too.
    Finished {
        end: SagaEnd,
    },
}

/// Why an input changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the saga has not started")]
    NotStarted,
    #[error("the saga has started already")]
    AlreadyStarted,
    #[error("the state {state} does not take {event}; it takes {}", listed(takes))]
    NotTaken {
        state: StateName,
        event: EventName,
        takes: Box<[EventName]>,
    },
    /// To wait for a state that takes it would be to wait for ever.
    #[error("no state of the definition takes {event}; its states take {}", listed(takes))]
    Unknown {
        event: EventName,
        /// What any state of the definition takes.
        takes: Box<[EventName]>,
    },
    #[error("no guard of the state {state} holds for {event}")]
    NoGuardHolds {
        state: StateName,
        event: EventName,
        takes: Box<[EventName]>,
    },
    #[error(
        "the data of {event} do not meet the schema that the state asks for: {}",
        in_a_line(violations)
    )]
    InvalidAnswer {
        event: EventName,
        /// With pointers below `/data`.
        violations: Violations,
    },
    #[error("the saga compensates, and takes no events meanwhile")]
    Compensating,
    #[error("compensation {number} ({name}) is stuck, and no event is taken before it is retried or skipped")]
    Stuck { number: u32, name: String },
    #[error(
        "no more events can wait for a state that takes them: there may be {DEFERRED_MAX}, and the saga may hold {HELD_MAX_BYTES} \
         bytes"
    )]
    TooManyDeferred,
    #[error("{reason}; and no more events can wait for a decision")]
    TooManyParked { reason: String },
    #[error("no task {number} of the saga is live")]
    NotLive { number: u32 },
    #[error("the timer belongs to a state that was left")]
    StaleTimer,
    #[error("compensation {number} is not the one that is being run")]
    OtherCompensation { number: u32 },
    #[error("compensation {number} is not the one that is being run: that is compensation {newest} ({name})")]
    NotNewest { number: u32, newest: u32, name: String },
    #[error("no compensation of the saga is stuck")]
    NotStuck,
    #[error("the saga is being cancelled already")]
    AlreadyCancelled,
    #[error("nothing with the number {number} waits for a decision")]
    NotParked { number: u32 },
    #[error("nothing of the saga waits for a decision")]
    NothingParked,
    #[error("task {number} is over: it can be given up, or an event raised that leads on")]
    TaskIsOver { number: u32 },
    #[error("{0}")]
    InvalidContext(String),
    #[error("the saga is over")]
    Over,
    #[error("the saga cannot start: {reason}")]
    CannotStart {
        reason: String,
        /// Every field of the context that has no value, with a pointer to what it asks of the input: below `/input`.
        broken: Violations,
    },
}

impl Rejection {
    /// It cannot start, for a reason that is no field of the input.
    pub fn cannot_start(reason: impl Into<String>) -> Self {
        Self::CannotStart {
            reason: reason.into(),
            broken: Violations::default(),
        }
    }

    /// The events that the state takes, where it does not take another one; or, where none does, those that any state takes.
    pub fn takes(&self) -> Option<&[EventName]> {
        if let Self::NotTaken { takes, .. } | Self::Unknown { takes, .. } | Self::NoGuardHolds { takes, .. } = self {
            Some(takes)
        } else {
            None
        }
    }
}

/// The most names that a message lists: `takes` has all of them.
const LISTED_MAX_COUNT: usize = 20;

fn listed(names: &[EventName]) -> String {
    let names: Vec<&str> = names.iter().map(EventName::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else if let Some((first, rest)) = names.split_at_checked(LISTED_MAX_COUNT)
        && !rest.is_empty()
    {
        format!("{} and {} more", first.join(", "), rest.len())
    } else {
        names.join(", ")
    }
}

/// Decides. `limits` are those of the tasks that it issues.
///
/// # Errors
/// [`Rejection`] for an input that does not fit; the instance is as it was.
pub fn step(
    definition: &CompiledDefinition,
    mut instance: Instance,
    input: Input,
    limits: &SpecLimits,
    now: Timestamp,
) -> Result<Step, Rejection> {
    let Decided { effects, notes } = step_in_place(definition, &mut instance, input, limits, now).0?;
    Ok(Step {
        instance,
        effects,
        notes,
    })
}

/// Decides, and changes the instance itself: it may hold much, and most inputs change little of it. An input that is refused leaves it
/// as it was. It tells what that has used: a refusal may have cost as much as anything else.
pub fn step_in_place(
    definition: &CompiledDefinition,
    instance: &mut Instance,
    input: Input,
    limits: &SpecLimits,
    now: Timestamp,
) -> (Result<Decided, Rejection>, Cost) {
    let before = may_change_before_it_is_refused(instance, &input).then(|| instance.clone());
    let phase = instance.phase.clone();
    let mut run = Run::new(definition, instance, limits, now);
    let decided = match phase {
        Phase::Created => created(&mut run, input),
        Phase::Running => running(&mut run, input),
        Phase::Ending { end } => ending(&mut run, end, input),
        Phase::Settling { then } => settling(&mut run, then, input),
        Phase::Undoing { then } => undoing(&mut run, then, input),
        Phase::Stuck { then, .. } => stuck(&mut run, then, input),
        Phase::Ended { .. } => Err(over(&input)),
    };
    if let Some(before) = &before {
        run.went_through(before);
    }
    if let Err(rejection) = decided {
        let cost = run.cost();
        if let Some(before) = before {
            *instance = before;
        }
        return (Err(rejection), cost);
    }
    run.settle();
    run.instance.version += 1;
    let cost = run.cost();
    let Run { effects, notes, .. } = run;
    (Ok(Decided { effects, notes }), cost)
}

/// Whether something may have been done by the time at which it is refused. All others are refused first.
fn may_change_before_it_is_refused(instance: &Instance, input: &Input) -> bool {
    match input {
        Input::Started(_) => instance.phase == Phase::Created,
        Input::ParkedRetried { .. } | Input::Retried { .. } => instance.phase == Phase::Running,
        Input::EventRaised(_)
        | Input::TaskEnded { .. }
        | Input::TimerFired(_)
        | Input::CompensationEnded { .. }
        | Input::CancelRequested
        | Input::CompensationRetried { .. }
        | Input::CompensationSkipped { .. }
        | Input::ParkedDiscarded { .. } => false,
    }
}

fn created(run: &mut Run<'_>, input: Input) -> Result<(), Rejection> {
    match input {
        Input::Started(event) => run.start(&event),
        // It never begins.
        Input::CancelRequested => {
            run.finish(SagaEnd::Cancelled);
            Ok(())
        }
        Input::EventRaised(_)
        | Input::TaskEnded { .. }
        | Input::TimerFired(_)
        | Input::CompensationEnded { .. }
        | Input::CompensationRetried { .. }
        | Input::CompensationSkipped { .. }
        | Input::ParkedRetried { .. }
        | Input::ParkedDiscarded { .. }
        | Input::Retried { .. } => Err(Rejection::NotStarted),
    }
}

fn running(run: &mut Run<'_>, input: Input) -> Result<(), Rejection> {
    match input {
        Input::Started(_) => Err(Rejection::AlreadyStarted),
        Input::EventRaised(event) => raised(run, event),
        Input::TaskEnded { number, outcome } => {
            let live = run.end_live(number, &outcome)?;
            run.ended(number, live, outcome);
            Ok(())
        }
        Input::TimerFired(timer) => match run.fire(timer) {
            Ok(()) => Ok(()),
            Err(Untaken::Rejected(rejection)) => Err(rejection),
            Err(Untaken::Failed(failure)) => {
                run.park(Cause::Timer(timer), failure);
                Ok(())
            }
        },
        Input::CompensationEnded { number, .. } => Err(Rejection::OtherCompensation { number }),
        Input::CancelRequested => {
            run.undo(Then::Cancelled);
            Ok(())
        }
        Input::CompensationRetried { .. } | Input::CompensationSkipped { .. } => Err(Rejection::NotStuck),
        Input::ParkedRetried { number } => run.retry_parked(number),
        Input::ParkedDiscarded { number } => run.discard_parked(number),
        Input::Retried { context } => run.retry_all(context),
    }
}

fn raised(run: &mut Run<'_>, event: Event) -> Result<(), Rejection> {
    run.admit(&event)?;
    match run.raise(&event) {
        Ok(true) => Ok(()),
        Ok(false) => unhandled(run, event),
        Err(failure) => {
            run.bound_parked(&event, &failure)?;
            run.park(Cause::Event(event), failure);
            Ok(())
        }
    }
}

/// What becomes of an event that the state does not take.
fn unhandled(run: &mut Run<'_>, event: Event) -> Result<(), Rejection> {
    match run.definition.definition().unhandled {
        Unhandled::Reject => Err(run.not_taken(&event)),
        Unhandled::Ignore => {
            run.notes.push(Note::ignored(&event));
            Ok(())
        }
        Unhandled::Defer => defer(run, event),
    }
}

/// An event from outside waits. What is raised within has a state that takes it, and where a migration has taken that away, another
/// may bring it back.
fn defer(run: &mut Run<'_>, event: Event) -> Result<(), Rejection> {
    run.require_known(&event)?;
    run.bound_deferred(&event)?;
    run.notes.push(Note::deferred(&event));
    run.instance.deferred.push(event);
    Ok(())
}

/// Everything is decided: only the ends of what is live are waited for.
fn ending(run: &mut Run<'_>, end: SagaEnd, input: Input) -> Result<(), Rejection> {
    match input {
        Input::Started(_) => Err(Rejection::AlreadyStarted),
        Input::TaskEnded { number, outcome } => {
            run.end_live(number, &outcome)?;
            // What was done stays.
            run.instance.stack.clear();
            if run.instance.live.is_empty() {
                run.finish(end);
            }
            Ok(())
        }
        Input::CompensationEnded { number, .. } => Err(Rejection::OtherCompensation { number }),
        Input::EventRaised(_)
        | Input::CancelRequested
        | Input::ParkedRetried { .. }
        | Input::ParkedDiscarded { .. }
        | Input::Retried { .. } => Err(Rejection::Over),
        Input::TimerFired(_) => Err(Rejection::StaleTimer),
        Input::CompensationRetried { .. } | Input::CompensationSkipped { .. } => Err(Rejection::NotStuck),
    }
}

/// While all is undone no state takes anything, so events wait or are refused.
fn event_meanwhile(run: &mut Run<'_>, event: Event) -> Result<(), Rejection> {
    match run.definition.definition().unhandled {
        Unhandled::Reject => Err(run.compensates()),
        Unhandled::Ignore => {
            run.notes.push(Note::ignored(&event));
            Ok(())
        }
        Unhandled::Defer => defer(run, event),
    }
}

/// Where it goes when all is undone, if it was cancelled or its time was over meanwhile.
fn elsewhere(run: &mut Run<'_>, then: &Then, input: &Input) -> Result<Then, Rejection> {
    match input {
        Input::CancelRequested => match then {
            Then::Cancelled => Err(Rejection::AlreadyCancelled),
            Then::Enter { .. } => Ok(Then::Cancelled),
        },
        Input::TimerFired(Timer::Saga) => match then {
            // Whoever cancelled it will see it cancelled.
            Then::Cancelled => Err(Rejection::StaleTimer),
            Then::Enter { .. } => run.timeout_target(),
        },
        Input::TimerFired(Timer::After { .. } | Timer::DefaultAnswer { .. } | Timer::Reminder { .. }) => {
            Err(Rejection::StaleTimer)
        }
        Input::Started(_)
        | Input::EventRaised(_)
        | Input::TaskEnded { .. }
        | Input::CompensationEnded { .. }
        | Input::CompensationRetried { .. }
        | Input::CompensationSkipped { .. }
        | Input::ParkedRetried { .. }
        | Input::ParkedDiscarded { .. }
        | Input::Retried { .. } => Ok(then.clone()),
    }
}

fn settling(run: &mut Run<'_>, then: Then, input: Input) -> Result<(), Rejection> {
    match input {
        Input::Started(_) => Err(Rejection::AlreadyStarted),
        Input::EventRaised(event) => event_meanwhile(run, event),
        Input::TaskEnded { number, outcome } => {
            run.end_live(number, &outcome)?;
            if run.instance.live.is_empty() {
                run.unwind(then);
            }
            Ok(())
        }
        Input::TimerFired(_) | Input::CancelRequested => {
            let then = elsewhere(run, &then, &input)?;
            run.instance.phase = Phase::Settling { then };
            Ok(())
        }
        Input::CompensationEnded { number, .. } => Err(Rejection::OtherCompensation { number }),
        Input::CompensationRetried { .. } | Input::CompensationSkipped { .. } => Err(Rejection::NotStuck),
        Input::ParkedRetried { .. } | Input::Retried { .. } => Err(Rejection::Compensating),
        Input::ParkedDiscarded { number } => run.discard_parked(number),
    }
}

fn undoing(run: &mut Run<'_>, then: Then, input: Input) -> Result<(), Rejection> {
    match input {
        Input::Started(_) => Err(Rejection::AlreadyStarted),
        Input::EventRaised(event) => event_meanwhile(run, event),
        Input::TaskEnded { .. } if is_planted(Mutant::LateEndTaken) => Ok(()),
        // Nothing is live any more: it comes after its own compensation.
        Input::TaskEnded { number, .. } => Err(Rejection::NotLive { number }),
        Input::TimerFired(_) | Input::CancelRequested => {
            let then = elsewhere(run, &then, &input)?;
            run.instance.phase = Phase::Undoing { then };
            Ok(())
        }
        Input::CompensationEnded { number, outcome } => {
            run.newest(number)?;
            run.undone(number, outcome, then);
            Ok(())
        }
        Input::CompensationRetried { .. } | Input::CompensationSkipped { .. } => Err(Rejection::NotStuck),
        Input::ParkedRetried { .. } | Input::Retried { .. } => Err(Rejection::Compensating),
        Input::ParkedDiscarded { number } => run.discard_parked(number),
    }
}

fn stuck(run: &mut Run<'_>, then: Then, input: Input) -> Result<(), Rejection> {
    match input {
        Input::Started(_) => Err(Rejection::AlreadyStarted),
        Input::EventRaised(event) => event_meanwhile(run, event),
        Input::TaskEnded { number, .. } => Err(Rejection::NotLive { number }),
        Input::TimerFired(_) | Input::CancelRequested => {
            let next = elsewhere(run, &then, &input)?;
            if let Phase::Stuck { then, .. } = &mut run.instance.phase {
                *then = next;
            }
            Ok(())
        }
        Input::CompensationEnded { number, .. } => Err(Rejection::OtherCompensation { number }),
        Input::CompensationRetried { number } => {
            run.newest(number)?;
            run.compensation(number, CompensationChange::Retried);
            run.unwind(then);
            Ok(())
        }
        Input::CompensationSkipped { number } => {
            run.newest(number)?;
            run.compensation(number, CompensationChange::Skipped);
            run.instance.stack.pop();
            run.unwind(then);
            Ok(())
        }
        Input::ParkedRetried { .. } | Input::Retried { .. } => Err(run.compensates()),
        Input::ParkedDiscarded { number } => run.discard_parked(number),
    }
}

/// Whatever comes now is refused, with the reason.
fn over(input: &Input) -> Rejection {
    match input {
        Input::Started(_) => Rejection::AlreadyStarted,
        Input::TaskEnded { number, .. } => Rejection::NotLive { number: *number },
        Input::TimerFired(_) => Rejection::StaleTimer,
        Input::CompensationEnded { number, .. } => Rejection::OtherCompensation { number: *number },
        Input::EventRaised(_)
        | Input::CancelRequested
        | Input::CompensationRetried { .. }
        | Input::CompensationSkipped { .. }
        | Input::ParkedRetried { .. }
        | Input::ParkedDiscarded { .. }
        | Input::Retried { .. } => Rejection::Over,
    }
}
