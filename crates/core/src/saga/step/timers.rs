//! What time does.

use serde_json::json;

use super::run::{Failure, Run, Untaken};
use super::{Effect, Note, Rejection};
use crate::JsonText;
use crate::saga::compiled::ActiveState;
use crate::saga::definition::Delay;
use crate::saga::instance::{Event, Then, Timer};
use crate::saga::mutant::{Mutant, is_planted};
use crate::saga::names::EventName;
use crate::saga::question::Question;
use crate::time::Timestamp;

/// What a state starts that is entered now, under the number of the entry.
pub(in crate::saga) fn timers_of_entry(state: &ActiveState, entry: u32, now: Timestamp) -> Vec<Effect> {
    let start = |timer: Timer, delay: Delay| Effect::StartTimer {
        timer,
        at: now + delay.duration(),
    };
    let after = (0..).zip(&state.after);
    let mut timers: Vec<Effect> = after
        .map(|(index, delayed)| start(Timer::After { entry, index }, delayed.delay))
        .collect();
    if let Some(Question { input, .. }) = &state.question {
        let reminders = (0..).zip(&input.reminders);
        timers.extend(reminders.map(|(index, reminder)| start(Timer::Reminder { entry, index }, reminder.delay)));
        let default = input.default_after.as_ref();
        timers.extend(default.map(|default| start(Timer::DefaultAnswer { entry }, default.delay)));
    }
    timers
}

impl Run<'_> {
    /// A timer is over.
    pub(super) fn fire(&mut self, timer: Timer) -> Result<(), Untaken> {
        match timer {
            Timer::Saga => self.time_out(),
            Timer::After { entry, .. } | Timer::DefaultAnswer { entry } | Timer::Reminder { entry, .. }
                if entry != self.instance.entry && !is_planted(Mutant::TimerOfOtherEntryTaken) =>
            {
                Err(Rejection::StaleTimer.into())
            }
            Timer::After { index, .. } => self.delayed(timer, index),
            Timer::DefaultAnswer { .. } => self.default_answer(timer),
            Timer::Reminder { index, .. } => self.remind(timer, index),
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
        let input = &state.question.as_ref().ok_or(Rejection::StaleTimer)?.input;
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

    /// An answer is still awaited. Where no guard holds, nobody is to be reminded.
    fn remind(&mut self, timer: Timer, index: u16) -> Result<(), Untaken> {
        let state = self.active().ok_or(Rejection::StaleTimer)?;
        let question = state.question.as_ref().ok_or(Rejection::StaleTimer)?;
        let input = &question.input;
        let reminder = input.reminders.get(usize::from(index)).ok_or(Rejection::StaleTimer)?;
        self.notes.push(Note::TimedOut { timer });
        let data = json!({"event": input.event.as_str(), "prompt": question.prompt(self.instance)});
        self.raise(&Event {
            id: format!("reminder/{}/{index}", self.instance.entry),
            name: reminder.event.clone(),
            data: JsonText::trusted(data.to_string()),
        })?;
        Ok(())
    }

    /// Where the timeout of the saga leads, which is over now: once.
    pub(super) fn timeout_target(&mut self) -> Result<Then, Rejection> {
        let timeout = self.definition.timeout().ok_or(Rejection::StaleTimer)?;
        if self.instance.is_timed_out {
            return Err(Rejection::StaleTimer);
        }
        self.notes.push(Note::TimedOut { timer: Timer::Saga });
        self.instance.is_timed_out = true;
        Ok(Then::Enter {
            target: timeout.target.clone(),
            event: of_time("timeout", "timeout".to_owned()),
        })
    }

    fn time_out(&mut self) -> Result<(), Untaken> {
        let compensates = self.definition.timeout().is_some_and(|timeout| timeout.compensate);
        match self.timeout_target()? {
            Then::Enter { target, event } if !compensates => {
                let entered = self.attempt(|run| {
                    run.issue_exit(&event)?;
                    run.leave();
                    run.enter(&target, &event)
                });
                // Until a person has it taken again, its time was not over.
                self.instance.is_timed_out = entered.is_ok();
                entered?;
            }
            then @ (Then::Enter { .. } | Then::Cancelled) => self.undo(then),
        }
        Ok(())
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
