//! Handlers: what does the work of a command.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use orchestratum_core::task::{InvalidProgress, Progress};
use tokio_util::sync::CancellationToken;

use crate::{Command, CommandId, Failure, Orchestratum};

/// Does the work of a command.
///
/// With `#[derive(Handler)]` it is made anew for each execution, of fields that are found by their types among what the builder
/// was [provided](crate::Builder::provide) with, and [`discover`](crate::Builder::discover) finds it by itself. A type that was
/// not provided is an error at the start. An [`Orchestratum`] needs not to be provided: it is the one that runs the handler.
///
/// ```
/// use std::sync::Arc;
///
/// use orchestratum_sdk::prelude::*;
///
/// #[derive(Command, Serialize, Deserialize)]
/// struct SendEmailCommand {
///     to: String,
/// }
///
/// trait Mailer: Send + Sync {
///     fn send(&self, to: &str) -> Result<(), std::io::Error>;
/// }
///
/// #[derive(Handler)]
/// #[handler(SendEmailCommand)]
/// struct SendEmailHandler {
///     mailer: Arc<dyn Mailer>,
/// }
///
/// impl Handler<SendEmailCommand> for SendEmailHandler {
///     async fn handle(&self, command: &SendEmailCommand, context: &Context) -> Result<(), Failure> {
///         context.log(&format!("attempt {} of {}", context.attempt(), context.idempotency_key()));
///         self.mailer.send(&command.to)?;
///         Ok(())
///     }
/// }
/// ```
///
/// A command may run more than once: when a worker dies it is not known how far it came. Give
/// [`Context::idempotency_key`] to the outside world, so that an effect happens once.
///
/// An `Err` or a panic fails the attempt, and the worker lives on: see [`Failure`]. When the time of the attempt is up, when the
/// command is cancelled or the worker stops, [`Context::cancelled`] completes, and after a grace the future is dropped; a
/// handler that blocks its thread cannot be stopped.
///
/// The output is that of the command, which the compiler sees to:
///
/// ```compile_fail
/// use orchestratum_sdk::prelude::*;
///
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(output = u64)]
/// struct CountCommand;
///
/// #[derive(Handler)]
/// #[handler(CountCommand)]
/// struct CountHandler;
///
/// impl Handler<CountCommand> for CountHandler {
///     async fn handle(&self, _command: &CountCommand, _context: &Context) -> Result<String, Failure> {
///         Ok("three".to_owned())
///     }
/// }
/// ```
pub trait Handler<C: Command>: Send + Sync + 'static {
    /// Runs one attempt.
    fn handle(&self, command: &C, context: &Context) -> impl Future<Output = Result<C::Output, Failure>> + Send;
}

/// What a handler may know about the attempt it makes, and how it tells about it.
#[derive(Clone)]
pub struct Context {
    pub(crate) id: CommandId,
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) attempt: u32,
    pub(crate) run: u32,
    pub(crate) stopping: CancellationToken,
    pub(crate) orchestratum: Orchestratum,
    pub(crate) teller: Arc<dyn Tell>,
}

/// Where progress and lines of the log go.
pub(crate) trait Tell: Send + Sync {
    fn progress(&self, progress: Progress);
    fn log(&self, line: &str);
}

impl Context {
    pub fn id(&self) -> CommandId {
        self.id
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it runs.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The same for every attempt of a run: give it to the outside world, so that an effect happens once.
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}", self.id, self.run)
    }

    /// To push other commands and ask for them. What is pushed here is there even if this attempt fails, and again if it is tried
    /// again; what is to come exactly once after a command is pushed by its [`Chain`](crate::Chain). A handler may also have one
    /// in a field of its own.
    pub fn orchestratum(&self) -> &Orchestratum {
        &self.orchestratum
    }

    /// Cancelled when the handler should come to an end: for code that takes a token.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Completes when the handler should come to an end: cancelled, out of time, or the worker stops.
    pub async fn cancelled(&self) {
        self.stopping.cancelled().await;
    }

    pub fn is_cancelled(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Tells how far it is, from 0 to 1. That it lives needs no telling: the worker sees to that.
    ///
    /// # Errors
    /// If the number is not from 0 to 1.
    pub fn progress(&self, share: f64) -> Result<(), InvalidProgress> {
        self.teller.progress(Progress::new(share)?);
        Ok(())
    }

    /// Writes a line to the log of the command.
    pub fn log(&self, line: &str) {
        self.teller.log(line);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
