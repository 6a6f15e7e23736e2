//! What a timer of a saga will do, for those who look at it before it is due.

use super::definition::{ActiveState, Definition, State};
use super::instance::{Instance, Timer};
use super::names::{EventName, StateName};
use crate::JsonText;

/// What a timer does when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    /// The time of the whole is over.
    Timeout { target: StateName, compensate: bool },
    /// A transition is taken, if its guard holds then.
    After {
        guard: Option<String>,
        /// `None`: the state is not left.
        target: Option<StateName>,
        compensate: bool,
    },
    /// The answer is given for whoever gave none.
    DefaultAnswer { event: EventName, data: JsonText },
    /// Somebody is reminded.
    Reminder { event: EventName },
}

impl Expiry {
    /// The state that is entered.
    pub const fn target(&self) -> Option<&StateName> {
        match self {
            Self::Timeout { target, .. } => Some(target),
            Self::After { target, .. } => target.as_ref(),
            Self::DefaultAnswer { .. } | Self::Reminder { .. } => None,
        }
    }

    /// Whether all is undone first.
    pub const fn compensates(&self) -> bool {
        match self {
            Self::Timeout { compensate, .. } | Self::After { compensate, .. } => *compensate,
            Self::DefaultAnswer { .. } | Self::Reminder { .. } => false,
        }
    }

    /// What must hold then.
    pub fn guard(&self) -> Option<&str> {
        match self {
            Self::After { guard, .. } => guard.as_deref(),
            Self::Timeout { .. } | Self::DefaultAnswer { .. } | Self::Reminder { .. } => None,
        }
    }

    /// The event that is raised.
    pub const fn event(&self) -> Option<&EventName> {
        match self {
            Self::DefaultAnswer { event, .. } | Self::Reminder { event } => Some(event),
            Self::Timeout { .. } | Self::After { .. } => None,
        }
    }

    /// Of the answer that is given.
    pub const fn data(&self) -> Option<&JsonText> {
        match self {
            Self::DefaultAnswer { data, .. } => Some(data),
            Self::Timeout { .. } | Self::After { .. } | Self::Reminder { .. } => None,
        }
    }
}

impl Definition {
    /// `None` of a timer that does nothing any more: of a state that was left.
    pub fn expiry(&self, instance: &Instance, timer: Timer) -> Option<Expiry> {
        if let Timer::Saga = timer {
            let timeout = self.timeout.as_ref()?;
            return Some(Expiry::Timeout {
                target: timeout.target.clone(),
                compensate: timeout.compensate,
            });
        }
        match self.states.get(&instance.state)? {
            State::Active(state) if timer.entry() == instance.entry => state.expiry(timer),
            State::Active(_) | State::Final { .. } => None,
        }
    }
}

impl ActiveState {
    fn expiry(&self, timer: Timer) -> Option<Expiry> {
        let index = usize::from(timer.index());
        match timer {
            Timer::Saga => None,
            Timer::After { .. } => {
                let candidate = &self.after.get(index)?.candidate;
                Some(Expiry::After {
                    guard: candidate.guard.clone(),
                    target: candidate.course.target().cloned(),
                    compensate: candidate.course.compensates(),
                })
            }
            Timer::DefaultAnswer { .. } => {
                let input = self.await_input.as_ref()?;
                Some(Expiry::DefaultAnswer {
                    event: input.event.clone(),
                    data: input.default_after.as_ref()?.data.clone(),
                })
            }
            Timer::Reminder { .. } => {
                let reminder = self.await_input.as_ref()?.reminders.get(index)?;
                Some(Expiry::Reminder {
                    event: reminder.event.clone(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SagaId;
    use crate::saga::read;

    const ASKING: &str = "
name: asking
initial: Asking
timeout: {after_seconds: 90, target: Failed, compensate: true}
states:
  Asking:
    await_input:
      event: answered
      prompt: Well?
      reminders: [{seconds: 10, event: reminded}, {seconds: 20, event: urged}]
      default_after: {seconds: 30, data: {ok: false}}
    after:
      - {seconds: 5, set: {late: true}}
      - {seconds: 60, if: context.late, compensate: true, target: Failed}
    on: {answered: {target: Done}, reminded: {set: {late: true}}, urged: {set: {late: true}}}
  Done: {final: true}
  Failed: {final: failed}
";

    #[test]
    fn each_timer_of_a_state_says_what_it_will_do() {
        let definition = read(ASKING).unwrap_or_else(|faults| panic!("{faults}"));
        let mut instance = Instance::new(&definition, SagaId(uuid::Uuid::nil()), "a".to_owned(), JsonText::null());
        instance.entry = 2;
        let event = |name: &str| EventName::new(name).expect("a name");
        let failed = || StateName::new("Failed").expect("a name");
        let entry = 2;
        for (timer, does) in [
            (
                Timer::Saga,
                Expiry::Timeout {
                    target: failed(),
                    compensate: true,
                },
            ),
            (
                Timer::After { entry, index: 0 },
                Expiry::After {
                    guard: None,
                    target: None,
                    compensate: false,
                },
            ),
            (
                Timer::After { entry, index: 1 },
                Expiry::After {
                    guard: Some("context.late".to_owned()),
                    target: Some(failed()),
                    compensate: true,
                },
            ),
            (
                Timer::DefaultAnswer { entry },
                Expiry::DefaultAnswer {
                    event: event("answered"),
                    data: JsonText::new(r#"{"ok":false}"#).expect("JSON"),
                },
            ),
            (
                Timer::Reminder { entry, index: 1 },
                Expiry::Reminder { event: event("urged") },
            ),
        ] {
            assert_eq!(definition.expiry(&instance, timer), Some(does), "{timer:?}");
        }
        for timer in [
            Timer::After { entry: 1, index: 0 },
            Timer::After { entry, index: 2 },
            Timer::Reminder { entry, index: 2 },
        ] {
            assert_eq!(definition.expiry(&instance, timer), None, "{timer:?}");
        }
    }
}
