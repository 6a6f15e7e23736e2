//! Commands: what is to be done, as a type.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Chain, Envelope};

pub use orchestratum_core::TaskId as CommandId;

/// How long an attempt may take that says nothing about it, as in the library this one re-tells.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often a command that says nothing about it is tried again.
const RETRIES: u16 = 3;

/// What `#[derive(Command)]` writes: the name of a command, what its handler answers, and how it wants to be run.
///
/// Nothing speaks against writing it by hand, together with an `impl` of [`Chain`].
pub trait Definition: Sized {
    /// What the handler answers, and what [`Chain::on_success`] sees.
    type Output: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The name of its tasks: what handlers in other languages and people who look at the server call it.
    const NAME: &'static str;

    /// The limit of one attempt.
    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    /// How long it may live from when it is due, whatever it waits for. Without one it has what its server gives to tasks that
    /// say nothing, a day by default, or as long as all its attempts may take, if that is longer.
    fn ttl(&self) -> Option<Duration> {
        None
    }

    /// `N` means N + 1 attempts.
    fn retries(&self) -> u16 {
        RETRIES
    }

    /// Who is to run it. Without one it is whoever it came after, or the first target of the program that pushes it.
    fn target(&self) -> Option<&str> {
        None
    }
}

/// Something to be done: a value with the input in its fields, that is stored until a [`Handler`](crate::Handler) has done it.
///
/// ```
/// use orchestratum_sdk::prelude::*;
///
/// /// Its name is `send_email`.
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(timeout_seconds = 120, retries = 5)]
/// struct SendEmailCommand {
///     to: String,
///     subject: String,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Report {
///     report_id: u64,
/// }
///
/// /// With a name of its own, an output, and something that comes next: see [`Chain`].
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(name = "report.generate", output = Report, timeout_seconds = 600, chain)]
/// struct GenerateReportCommand {
///     month: String,
/// }
///
/// impl Chain for GenerateReportCommand {
///     fn on_success(&self, output: &Report, next: &mut Next) {
///         next.push(SendEmailCommand {
///             to: "admin@example.com".to_owned(),
///             subject: format!("report {} of {} is there", output.report_id, self.month),
///         });
///     }
/// }
///
/// assert_eq!(SendEmailCommand::NAME, "send_email");
/// assert_eq!(GenerateReportCommand::NAME, "report.generate");
/// ```
///
/// | `#[command(…)]` | what it says | without it |
/// |---|---|---|
/// | `name = "email.send"` | the name | the type's, without `Command` at its end, in snake case |
/// | `output = Report` | what the handler answers | `()` |
/// | `timeout_seconds = 120` | the limit of an attempt | 5 |
/// | `retries = 5` | how often it is tried again | 3 |
/// | `ttl_seconds = 3600` | the time-to-live | the server's |
/// | `target = "email-worker"` | who runs it | whoever it came after, or the first target of who pushes it |
/// | `chain` | there is an `impl` of [`Chain`] | nothing comes next |
///
/// A command is what its fields are as JSON, so it takes `Serialize` and `Deserialize`:
///
/// ```compile_fail
/// use orchestratum_sdk::prelude::*;
///
/// #[derive(Command)]
/// struct SendEmailCommand {
///     to: String,
/// }
///
/// fn push(command: impl Command) {}
/// push(SendEmailCommand { to: String::new() });
/// ```
///
/// A name that no task can have is refused where it is written:
///
/// ```compile_fail
/// use orchestratum_sdk::prelude::*;
///
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(name = "send an email")]
/// struct SendEmailCommand;
/// ```
///
/// So is a target that nobody can be, and a time or a number that no task takes:
///
/// ```compile_fail
/// # use orchestratum_sdk::prelude::*;
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(target = "the mailer")]
/// struct SendEmailCommand;
/// ```
///
/// ```compile_fail
/// # use orchestratum_sdk::prelude::*;
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(timeout_seconds = -1)]
/// struct SendEmailCommand;
///
/// fn timeout() -> Duration {
///     SendEmailCommand.timeout()
/// }
/// ```
///
/// ```compile_fail
/// # use orchestratum_sdk::prelude::*;
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(ttl_seconds = 0)]
/// struct SendEmailCommand;
/// ```
///
/// ```compile_fail
/// # use orchestratum_sdk::prelude::*;
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(retries = 1_001)]
/// struct SendEmailCommand;
/// ```
pub trait Command: Definition + Chain + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The command with an id, to be pushed: whoever needs the id before takes it from there.
    fn envelope(self) -> Envelope<Self> {
        Envelope::new(self)
    }

    /// The same, for another target.
    fn to(self, target: impl Into<String>) -> Envelope<Self> {
        self.envelope().to(target)
    }

    /// The same, due later.
    fn after(self, delay: Duration) -> Envelope<Self> {
        self.envelope().after(delay)
    }
}

impl<C: Definition + Chain + Serialize + DeserializeOwned + Send + Sync + 'static> Command for C {}
