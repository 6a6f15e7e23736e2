//! What commands are pushed to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::entry::Entry;
use crate::host::{Host, Life};
use crate::{Command, CommandId, Envelope, Error, Followers, Outcome, Status};

/// What commands are pushed to, and what runs the handlers of this process. Cheap to clone; every clone is the same.
///
/// Handlers have one as well, by [`Context::orchestratum`](crate::Context::orchestratum) or in a field of theirs: with it they push
/// and ask; it is not theirs to stop.
#[derive(Clone)]
pub struct Orchestratum {
    host: Arc<dyn Host>,
    /// What runs in this process, for those who may stop it.
    life: Option<Arc<Life>>,
}

impl Orchestratum {
    /// One that keeps nothing alive.
    pub(crate) fn of(host: Arc<dyn Host>) -> Self {
        Self { host, life: None }
    }

    pub(crate) fn host(&self) -> Arc<dyn Host> {
        Arc::clone(&self.host)
    }

    pub(crate) fn alive(host: Arc<dyn Host>, life: Life) -> Self {
        Self {
            host,
            life: Some(Arc::new(life)),
        }
    }

    /// Stores a command. When this has answered it will be run; to push the same envelope again stores nothing more.
    ///
    /// ```
    /// # use orchestratum_sdk::prelude::*;
    /// # #[derive(Command, Serialize, Deserialize)]
    /// # struct SendEmailCommand { to: String }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), orchestratum_sdk::Error> {
    /// # let orchestratum = Orchestratum::embedded("sqlite::memory:").start().await?;
    /// let command = SendEmailCommand { to: "ann@example.com".to_owned() }.to("email-worker");
    /// let known_before = command.id();
    /// let id = orchestratum.push(command).await?;
    /// assert_eq!(id, known_before);
    /// assert_eq!(orchestratum.status(id).await?.state, State::Pending);
    /// # orchestratum.stop().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Input`], [`Error::Chain`], [`Error::Refused`], [`Error::IdTaken`], and what keeps it from being stored.
    pub async fn push<C: Command>(&self, command: impl Into<Envelope<C>> + Send) -> Result<CommandId, Error> {
        let envelope = command.into();
        let entry = Entry::pushed(&envelope)?;
        self.host.push(envelope.id, entry).await?;
        Ok(envelope.id)
    }

    /// Stores a command and waits for its end.
    ///
    /// # Errors
    /// [`Error::StillRunning`] after `patience`, with the id to ask for later. How the command ends is no error.
    pub async fn push_and_wait<C: Command>(
        &self,
        command: impl Into<Envelope<C>> + Send,
        patience: Duration,
    ) -> Result<Outcome<C::Output>, Error> {
        let id = self.push(command).await?;
        self.wait::<C>(id, patience).await
    }

    /// Waits for the end of a command that was pushed before.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::StillRunning`] after `patience`.
    pub async fn wait<C: Command>(&self, id: CommandId, patience: Duration) -> Result<Outcome<C::Output>, Error> {
        let status = self.host.wait(id, patience).await?;
        status.outcome()?.ok_or(Error::StillRunning { id, after: patience })
    }

    /// The same for whoever does not know what kind of command it is: how it stands when it has ended.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::StillRunning`] after `patience`.
    pub async fn wait_for_end(&self, id: CommandId, patience: Duration) -> Result<Status, Error> {
        let status = self.host.wait(id, patience).await?;
        if status.state.is_terminal() {
            Ok(status)
        } else {
            Err(Error::StillRunning { id, after: patience })
        }
    }

    /// How a command stands.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn status(&self, id: CommandId) -> Result<Status, Error> {
        self.host.status(id).await
    }

    /// What came after a command, in its order, and what could not be made of what was to come.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn followers(&self, id: CommandId) -> Result<Followers, Error> {
        self.host.followers(id).await
    }

    /// Cancels a command: one that waits is `Cancelled` at once, one that runs when its handler has ended. To cancel it again
    /// does nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Refused`] if it has ended in another way.
    pub async fn cancel(&self, id: CommandId) -> Result<Status, Error> {
        self.host.cancel(id).await
    }

    /// Runs handlers until the process is told to stop (SIGTERM or Ctrl-C), and then [stops](Self::stop).
    ///
    /// # Errors
    /// What ended the worker, if it ended by itself.
    pub async fn run(&self) -> Result<(), Error> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = self.ended() => {}
        }
        self.stop().await
    }

    async fn ended(&self) {
        match &self.life {
            Some(life) => life.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Claims nothing more, waits for the handlers that run, hands back what takes too long, and ends the connections. A command
    /// that is handed back uses no retry.
    ///
    /// # Errors
    /// What ended the worker, if it ended by itself before.
    pub async fn stop(&self) -> Result<(), Error> {
        match &self.life {
            Some(life) => life.stop().await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Orchestratum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Orchestratum").finish_non_exhaustive()
    }
}
