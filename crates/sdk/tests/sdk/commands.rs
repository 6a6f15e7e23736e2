//! Commands that do what they say, and a handler that remembers what it did.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_sdk::prelude::*;
use parking_lot::Mutex;

/// What happened, in its order: each execution with the command, the number of its attempt and a text.
#[derive(Debug, Clone, Default)]
pub(crate) struct World(Arc<Mutex<Vec<Event>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) command: CommandId,
    pub(crate) attempt: u32,
    pub(crate) target: String,
    pub(crate) text: String,
}

impl World {
    fn add(&self, context: &Context, text: impl Into<String>) {
        self.0.lock().push(Event {
            command: context.id(),
            attempt: context.attempt(),
            target: context.target().to_owned(),
            text: text.into(),
        });
    }

    /// How often a command was run.
    pub(crate) fn runs(&self, command: CommandId) -> usize {
        self.0.lock().iter().filter(|event| event.command == command).count()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }

    /// What was noted, in its order.
    pub(crate) fn notes(&self) -> Vec<String> {
        let events = self.0.lock();
        let notes = events.iter().filter_map(|event| event.text.strip_prefix("note: "));
        notes.map(str::to_owned).collect()
    }
}

/// Does what it is told.
#[derive(Debug, Clone, Command, Serialize, Deserialize)]
#[command(name = "act", output = String, chain)]
pub(crate) struct ActCommand {
    pub(crate) act: Act,
    pub(crate) chain: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    Answer(String),
    FailTimes(u32),
    Fail,
    FailForGood,
    Cancel,
    TimeOut,
    NotFound,
    Panic,
    /// Until its future is dropped.
    Hang,
    /// Until it is told to come to an end; then it has done its work.
    FinishWhenStopped,
    /// Until it is told to come to an end; then it has not.
    FailWhenStopped,
    /// Tells how far it is, and writes into its log.
    Tell,
}

/// What comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Links {
    Nothing,
    /// A note by success and one by failure.
    Notes,
    /// One by cancellation and one at the end of its time, too.
    AllNotes,
    /// A command whose failure is noted, and that fails.
    AnotherThatFails,
    /// The second time it is asked for something it panics.
    Panics,
    /// Itself, for ever.
    ItsOwnFailure,
}

impl ActCommand {
    pub(crate) fn of(act: Act) -> Self {
        Self {
            act,
            chain: Links::Nothing,
        }
    }

    pub(crate) fn then(self, chain: Links) -> Self {
        Self { chain, ..self }
    }
}

impl Chain for ActCommand {
    fn on_success(&self, output: &String, next: &mut Next) {
        match self.chain {
            Links::Nothing | Links::ItsOwnFailure => {}
            Links::Notes | Links::AllNotes => next.push(NoteCommand::of(format!("success: {output}"))),
            Links::AnotherThatFails => next.push(ActCommand::of(Act::FailForGood).then(Links::Notes)),
            Links::Panics => {
                next.push(NoteCommand::of("before the panic"));
                panic!("at the disco");
            }
        }
    }

    fn on_failure(&self, next: &mut Next) {
        match self.chain {
            Links::Nothing | Links::AnotherThatFails | Links::Panics => {}
            Links::Notes | Links::AllNotes => next.push(NoteCommand {
                text: "failure".to_owned(),
                about: Some(next.id()),
            }),
            Links::ItsOwnFailure => next.push(self.clone()),
        }
    }

    fn on_cancellation(&self, next: &mut Next) {
        match self.chain {
            Links::AllNotes => next.push(NoteCommand::of("cancellation")),
            _ => self.on_failure(next),
        }
    }

    fn on_expire(&self, next: &mut Next) {
        match self.chain {
            Links::AllNotes => next.push(NoteCommand::of("the end of its time")),
            _ => self.on_failure(next),
        }
    }
}

/// Is remembered.
#[derive(Debug, Clone, Command, Serialize, Deserialize)]
pub(crate) struct NoteCommand {
    pub(crate) text: String,
    pub(crate) about: Option<CommandId>,
}

impl NoteCommand {
    pub(crate) fn of(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            about: None,
        }
    }
}

/// Nobody has a handler for it.
#[derive(Debug, Clone, Command, Serialize, Deserialize)]
#[command(chain)]
pub(crate) struct OrphanCommand;

impl Chain for OrphanCommand {
    fn on_failure(&self, next: &mut Next) {
        next.push(NoteCommand::of("nobody did it"));
    }
}

/// Both of them.
#[derive(Handler)]
#[handler(ActCommand, NoteCommand)]
pub(crate) struct Actor {
    world: World,
}

impl Handler<ActCommand> for Actor {
    async fn handle(&self, command: &ActCommand, context: &Context) -> Result<String, Failure> {
        self.world.add(context, format!("{:?}", command.act));
        match &command.act {
            Act::Answer(text) => Ok(text.clone()),
            Act::FailTimes(times) if context.attempt() <= *times => Err(Failure::new("not yet")),
            Act::FailTimes(_) => Ok("at last".to_owned()),
            Act::Fail => Err(io::Error::other("it broke").into()),
            Act::FailForGood => Err(Failure::permanent("never")),
            Act::Cancel => Err(Failure::cancelled("not wanted")),
            Act::TimeOut => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer").into()),
            Act::NotFound => Err(Failure::not_found("nobody does that")),
            Act::Panic => panic!("at the disco"),
            Act::Hang => pending().await,
            Act::FinishWhenStopped => {
                context.cancelled().await;
                Ok("finished".to_owned())
            }
            Act::FailWhenStopped => {
                context.cancellation().cancelled().await;
                Err(Failure::new("it was interrupted"))
            }
            Act::Tell => {
                context.log("half of it is done");
                context.progress(0.5)?;
                Ok("told".to_owned())
            }
        }
    }
}

impl Handler<NoteCommand> for Actor {
    async fn handle(&self, command: &NoteCommand, context: &Context) -> Result<(), Failure> {
        let about = command.about.map_or_else(String::new, |about| format!(" of {about}"));
        self.world.add(context, format!("note: {}{about}", command.text));
        Ok(())
    }
}

/// Short enough to be waited for.
pub(crate) const SHORT: Duration = Duration::from_millis(200);
