//! Why something could not be done that the SDK was asked for. How commands end is told by their outcomes.

use std::fmt;
use std::time::Duration;

use orchestratum_core::SagaId;
use orchestratum_core::saga::Faults;
use orchestratum_core::task::Violations;
use orchestratum_engine::error::chain;

use crate::CommandId;

/// Its `Debug` is in words as well, with what is behind it: `main` shows an error that leaves it so.
#[derive(thiserror::Error)]
pub enum Error {
    #[error("handlers need what is not provided: {}; call `.provide(…)` of the builder with each", list(.0))]
    MissingServices(Vec<(&'static str, &'static str)>),
    #[error("two handlers run `{command}`: {first} and {second}")]
    DuplicateHandler {
        command: &'static str,
        first: &'static str,
        second: &'static str,
    },
    #[error(
        "two commands are called `{name}`: {first} and {second}; give one of them another name by #[command(name = \"…\")]"
    )]
    DuplicateCommand {
        name: &'static str,
        first: &'static str,
        second: &'static str,
    },
    #[error("two services of the type `{0}` are provided: a handler could not tell them apart")]
    DuplicateService(&'static str),
    /// Of the builder.
    #[error("`.{option}(…)` {reason}")]
    Option { option: &'static str, reason: String },
    #[error("the settings are wrong")]
    Settings(#[source] orchestratum_engine::SettingsError),
    #[error("the worker cannot work")]
    Worker(#[source] orchestratum_worker::Error),
    #[error("the worker ended by a panic")]
    WorkerPanicked,
    #[error("`{command}` cannot be pushed: {reason}")]
    Input { command: &'static str, reason: String },
    #[error("what comes after `{command}` cannot be written: {reason}")]
    Chain { command: &'static str, reason: String },
    /// The server refuses it.
    #[error("the command is refused: {0}")]
    Refused(String),
    #[error("the output of command {command} cannot be read: {reason}")]
    Output { command: CommandId, reason: String },
    #[error("there is no command {0}")]
    NotFound(CommandId),
    #[error("another command has the id {0}")]
    IdTaken(CommandId),
    #[error("command {id} has not ended within {} s; it goes on", .after.as_secs_f64())]
    StillRunning { id: CommandId, after: Duration },
    #[error("the saga definition breaks rules: {0}")]
    InvalidDefinition(Faults),
    #[error("there is no saga definition `{0}`; give it with `sagas().define(…)`")]
    NoDefinition(String),
    #[error("there is no saga {0}")]
    NoSaga(SagaId),
    #[error("no saga has the correlation id `{correlation_id}`, and none begins on `{event}`")]
    NoSagaForEvent { event: String, correlation_id: String },
    /// What a saga was given breaks rules: an answer those of the schema that was asked for, a name or an id those of all. The pointers
    /// are those of the calls over HTTP: what is below `/data` are the data of an event or of an answer.
    #[error("a saga cannot be given this: {}", told(.0))]
    SagaInput(Violations),
    /// A saga, or its definition, does not take it as it stands.
    #[error("{reason}")]
    SagaRefused {
        reason: String,
        /// The events that the saga takes in its state, where it did not take another.
        takes: Vec<String>,
    },
    #[error("saga {0} has changed since it was read; read it again, and decide anew")]
    SagaChanged(SagaId),
    #[error("saga {saga} is in {state} after {} s, neither over nor waiting for somebody; it goes on", .after.as_secs_f64())]
    SagaStillRunning {
        saga: SagaId,
        state: String,
        after: Duration,
    },
    #[error("the {what} cannot be read: {reason}")]
    Unreadable { what: String, reason: String },
    /// The database or the broker, where the engine is embedded.
    #[error("the engine failed")]
    Engine(#[source] orchestratum_engine::Error),
    #[error("the server cannot be asked")]
    Unreachable(#[source] reqwest::Error),
    #[error("the server answered {status}: {detail}")]
    Answer { status: u16, detail: String },
    #[error("{0}")]
    Url(String),
    #[error("the signals of the process cannot be listened to")]
    Signals(#[source] std::io::Error),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self))
    }
}

fn list(lacking: &[(&'static str, &'static str)]) -> String {
    let told: Vec<String> = lacking
        .iter()
        .map(|(handler, service)| format!("{handler} needs `{service}`"))
        .collect();
    told.join(", ")
}

fn told(Violations(broken): &Violations) -> String {
    broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_main_shows_of_it_is_in_words() {
        let error = Error::Signals(std::io::Error::other("there are none"));
        let shown = format!("{error:?}");
        assert_eq!(
            shown,
            "the signals of the process cannot be listened to: there are none"
        );
    }
}
