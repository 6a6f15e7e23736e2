//! An input of a saga as the columns of a row, both ways.

use orchestratum_core::JsonText;
use orchestratum_core::saga::{Event, EventName, Fields, Input, Outcome, Timer, TimerKind};
use orchestratum_core::task::TaskError;

use crate::EventKind;

/// The columns of `saga_events` that hold an [`Input`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct EventColumns {
    pub(crate) kind: i16,
    pub(crate) number: Option<u32>,
    pub(crate) timer: Option<i16>,
    pub(crate) entry: Option<u32>,
    pub(crate) event_id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) may_have_run: Option<bool>,
}

impl EventColumns {
    pub(crate) fn encode(input: &Input) -> Self {
        let of = |kind: EventKind| Self {
            kind: kind.code(),
            ..Self::default()
        };
        let numbered = |kind: EventKind, number: u32| Self {
            number: Some(number),
            ..of(kind)
        };
        match input {
            Input::Started(event) => Self::event(EventKind::Started, event),
            Input::EventRaised(event) => Self::event(EventKind::Event, event),
            Input::TaskEnded { number, outcome } => Self::end(EventKind::TaskEnded, *number, outcome),
            Input::CompensationEnded { number, outcome } => Self::end(EventKind::CompensationEnded, *number, outcome),
            Input::TimerFired(timer) => Self {
                number: Some(timer.index().into()),
                timer: Some(timer.kind().code()),
                entry: Some(timer.entry()),
                ..of(EventKind::Timer)
            },
            Input::CancelRequested => of(EventKind::Cancel),
            Input::CompensationRetried { number } => numbered(EventKind::CompensationRetried, *number),
            Input::CompensationSkipped { number } => numbered(EventKind::CompensationSkipped, *number),
            Input::ParkedRetried { number } => numbered(EventKind::ParkedRetried, *number),
            Input::ParkedDiscarded { number } => numbered(EventKind::ParkedDiscarded, *number),
            Input::Retried { context } => Self {
                data: Some(serde_json::to_string(context).expect("fields of JSON are always JSON")),
                ..of(EventKind::Retried)
            },
        }
    }

    fn event(kind: EventKind, event: &Event) -> Self {
        Self {
            kind: kind.code(),
            event_id: Some(event.id.clone()),
            name: Some(event.name.to_string()),
            data: Some(event.data.to_string()),
            ..Self::default()
        }
    }

    pub(crate) fn end(kind: EventKind, number: u32, outcome: &Outcome) -> Self {
        let ended = Self {
            kind: kind.code(),
            number: Some(number),
            ..Self::default()
        };
        match outcome {
            Outcome::Succeeded { output } => Self {
                data: Some(output.to_string()),
                ..ended
            },
            Outcome::Unsuccessful { error, may_have_run } => Self {
                error: Some(serde_json::to_string(error).expect("an error is always JSON")),
                may_have_run: Some(*may_have_run),
                ..ended
            },
        }
    }

    /// # Errors
    /// Which column is damaged, and how.
    pub(crate) fn decode(self) -> Result<Input, (&'static str, String)> {
        let kind = EventKind::from_code(self.kind).ok_or_else(|| ("kind", format!("{} is no kind", self.kind)))?;
        Ok(match kind {
            EventKind::Started => Input::Started(self.into_event()?),
            EventKind::Event => Input::EventRaised(self.into_event()?),
            EventKind::TaskEnded => Input::TaskEnded {
                number: self.number()?,
                outcome: self.into_outcome()?,
            },
            EventKind::CompensationEnded => Input::CompensationEnded {
                number: self.number()?,
                outcome: self.into_outcome()?,
            },
            EventKind::Timer => Input::TimerFired(self.timer()?),
            EventKind::Cancel => Input::CancelRequested,
            EventKind::CompensationRetried => Input::CompensationRetried { number: self.number()? },
            EventKind::CompensationSkipped => Input::CompensationSkipped { number: self.number()? },
            EventKind::ParkedRetried => Input::ParkedRetried { number: self.number()? },
            EventKind::ParkedDiscarded => Input::ParkedDiscarded { number: self.number()? },
            EventKind::Migrated => return Err(("kind", "a migration never waits to be looked at".to_owned())),
            EventKind::Retried => {
                let context: Result<Fields, _> = serde_json::from_str(present("data", self.data.as_deref())?);
                Input::Retried {
                    context: context.map_err(|error| ("data", error.to_string()))?,
                }
            }
        })
    }

    fn number(&self) -> Result<u32, (&'static str, String)> {
        present("number", self.number)
    }

    fn timer(&self) -> Result<Timer, (&'static str, String)> {
        let code = present("timer", self.timer)?;
        let kind = TimerKind::from_code(code).ok_or_else(|| ("timer", format!("{code} is no timer")))?;
        let index = u16::try_from(self.number()?).map_err(|error| ("number", error.to_string()))?;
        Ok(Timer::of(kind, present("entry", self.entry)?, index))
    }

    fn into_event(self) -> Result<Event, (&'static str, String)> {
        let name = present("name", self.name)?;
        Ok(Event {
            id: present("event_id", self.event_id)?,
            name: EventName::new(name).map_err(|error| ("name", error.to_string()))?,
            data: JsonText::trusted(present("data", self.data)?),
        })
    }

    fn into_outcome(self) -> Result<Outcome, (&'static str, String)> {
        let Some(error) = self.error else {
            return Ok(Outcome::Succeeded {
                output: JsonText::trusted(present("data", self.data)?),
            });
        };
        let error: Result<TaskError, _> = serde_json::from_str(&error);
        Ok(Outcome::Unsuccessful {
            error: error.map_err(|error| ("error", error.to_string()))?,
            may_have_run: present("may_have_run", self.may_have_run)?,
        })
    }
}

fn present<T>(column: &'static str, value: Option<T>) -> Result<T, (&'static str, String)> {
    value.ok_or_else(|| (column, "it is missing".to_owned()))
}
