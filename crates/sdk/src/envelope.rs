//! A command on its way: with an id, and with what its sender wants otherwise than its type says.

use std::time::Duration;

use orchestratum_engine::identity;

use crate::{Command, CommandId};

/// A command with the id it will have, and with what differs from its type for this once.
///
/// ```
/// use std::time::Duration;
///
/// use orchestratum_sdk::prelude::*;
///
/// #[derive(Command, Serialize, Deserialize)]
/// struct SendEmailCommand {
///     to: String,
/// }
///
/// let command = SendEmailCommand { to: "ann@example.com".to_owned() }
///     .to("email-worker")
///     .after(Duration::from_secs(60))
///     .retries(0);
/// println!("it will be {}", command.id());
/// ```
#[derive(Debug, Clone)]
pub struct Envelope<C> {
    pub(crate) id: CommandId,
    pub(crate) command: C,
    pub(crate) target: Option<String>,
    pub(crate) delay: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) retries: Option<u16>,
    pub(crate) priority: Option<u8>,
}

impl<C: Command> Envelope<C> {
    pub(crate) fn new(command: C) -> Self {
        Self {
            id: identity::chosen_task_id(),
            command,
            target: None,
            delay: None,
            timeout: None,
            ttl: None,
            retries: None,
            priority: None,
        }
    }

    /// The id it has when it is pushed. One that comes after another command gets its id when that one has ended.
    pub fn id(&self) -> CommandId {
        self.id
    }

    pub fn command(&self) -> &C {
        &self.command
    }

    #[must_use]
    pub fn to(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Due so much later than it is pushed, or than the command before it has ended.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// The limit of an attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long it may live from when it is due.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// `N` means N + 1 attempts.
    #[must_use]
    pub fn retries(mut self, retries: u16) -> Self {
        self.retries = Some(retries);
        self
    }

    /// 0 to 9; higher goes first.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }
}

impl<C: Command> From<C> for Envelope<C> {
    fn from(command: C) -> Self {
        Self::new(command)
    }
}
