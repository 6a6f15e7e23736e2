//! Commands that do what they say, and a handler that remembers what it did.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_engine::external::LOG_MAX_BYTES;
use orchestratum_sdk::prelude::*;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// What happened, in its order: each execution with the command, the number of its attempt and a text.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    events: Arc<Mutex<Vec<Event>>>,
    /// What waits for it goes on when it is cancelled.
    gate: CancellationToken,
    /// The attempts that came to an end because they were told to.
    stopped: Arc<Mutex<Vec<(CommandId, u32)>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) command: CommandId,
    pub(crate) attempt: u32,
    pub(crate) target: String,
    pub(crate) text: String,
}

impl World {
    fn add(&self, context: &Context, text: impl Into<String>) {
        self.events.lock().push(Event {
            command: context.id(),
            attempt: context.attempt(),
            target: context.target().to_owned(),
            text: text.into(),
        });
    }

    /// Lets [`Act::FinishWhenLet`] finish.
    pub(crate) fn open(&self) {
        self.gate.cancel();
    }

    /// The attempts of a command that were told to come to an end.
    pub(crate) fn stopped(&self, command: CommandId) -> Vec<u32> {
        let stopped = self.stopped.lock();
        let of_it = stopped.iter().filter(|(stopped, _)| *stopped == command);
        of_it.map(|(_, attempt)| *attempt).collect()
    }

    /// How often a command was run.
    pub(crate) fn runs(&self, command: CommandId) -> usize {
        self.events
            .lock()
            .iter()
            .filter(|event| event.command == command)
            .count()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// What was noted, in its order.
    pub(crate) fn notes(&self) -> Vec<String> {
        let events = self.events.lock();
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
    /// So many bytes.
    AnswerBytes(usize),
    FailTimes(u32),
    /// With so many bytes, and one that no database takes.
    FailWithBytes(usize),
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
    /// Until its world is opened, whoever tells it to end.
    FinishWhenLet,
    /// Pushes a note through what it was made of, and one through its context.
    Push,
    /// Until it is told to come to an end; then it has not.
    FailWhenStopped,
    /// Tells how far it is, and writes into its log.
    Tell,
    /// Writes this line into its log until that is full, and fails.
    FillLogAndFail(String),
    /// The same, until its future is dropped.
    FillLogAndHang(String),
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
    /// So many notes for nobody.
    NotesForNobody(u16),
    /// Two notes for nobody that are too large together.
    LargeNotesForNobody,
    /// A note, one for a target that cannot be, one that is larger than 2,000 bytes, and another note.
    NotesOfWhichTwoAreNone,
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
            Links::NotesForNobody(count) => {
                for number in 0..count {
                    next.push(NoteCommand::of(number.to_string()).to("nobody"));
                }
            }
            Links::LargeNotesForNobody => {
                for letter in ["a", "b"] {
                    next.push(NoteCommand::of(letter.repeat(600_000)).to("nobody"));
                }
            }
            Links::NotesOfWhichTwoAreNone => {
                next.push(NoteCommand::of("the first"));
                next.push(NoteCommand::of("lost").to("no target"));
                next.push(NoteCommand::of("x".repeat(2_000)));
                next.push(NoteCommand::of("the last"));
            }
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
            Links::Notes | Links::AllNotes => next.push(NoteCommand {
                text: "failure".to_owned(),
                about: Some(next.id()),
            }),
            Links::ItsOwnFailure => next.push(self.clone()),
            _ => {}
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

/// Is cancelled by its own handler, and says nothing of cancellation: what it says of failure counts.
#[derive(Debug, Clone, Command, Serialize, Deserialize)]
#[command(chain)]
pub(crate) struct GiveUpCommand {
    pub(crate) times: u8,
}

impl Chain for GiveUpCommand {
    fn on_failure(&self, next: &mut Next) {
        match self.times.checked_sub(1) {
            Some(times) => next.push(Self { times }),
            None => next.push(NoteCommand {
                text: "given up".to_owned(),
                about: Some(next.id()),
            }),
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

/// All of them.
#[derive(Handler)]
#[handler(ActCommand, GiveUpCommand, NoteCommand)]
pub(crate) struct Actor {
    world: World,
    /// Not provided: it is the one that runs it.
    orchestratum: Orchestratum,
}

impl Handler<ActCommand> for Actor {
    async fn handle(&self, command: &ActCommand, context: &Context) -> Result<String, Failure> {
        self.world.add(context, format!("{:?}", command.act));
        match &command.act {
            Act::Answer(text) => Ok(text.clone()),
            Act::AnswerBytes(count) => Ok("x".repeat(*count)),
            Act::FailWithBytes(count) => Err(Failure::new(format!("begin\0{}end", "x".repeat(*count)))),
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
                self.world.stopped.lock().push((context.id(), context.attempt()));
                Ok("finished".to_owned())
            }
            Act::FinishWhenLet => {
                self.world.gate.cancelled().await;
                Ok("finished".to_owned())
            }
            Act::Push => {
                self.orchestratum.push(NoteCommand::of("by a field")).await?;
                let id = context.orchestratum().push(NoteCommand::of("by the context")).await?;
                Ok(id.to_string())
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
            Act::FillLogAndFail(line) => {
                fill_log(context, line);
                Err(Failure::permanent("it said too much"))
            }
            Act::FillLogAndHang(line) => {
                fill_log(context, line);
                pending().await
            }
        }
    }
}

/// With more than a report may bring.
fn fill_log(context: &Context, line: &str) {
    for _ in 0..=LOG_MAX_BYTES / line.len() {
        context.log(line);
    }
}

impl Handler<GiveUpCommand> for Actor {
    async fn handle(&self, command: &GiveUpCommand, context: &Context) -> Result<(), Failure> {
        self.world.add(context, format!("give up {}", command.times));
        Err(Failure::cancelled("it is of no use"))
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
