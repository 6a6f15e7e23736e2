//! Where commands are stored: an engine in this process, or a server.

pub(crate) mod embedded;
mod life;
pub(crate) mod remote;

use std::time::Duration;

use async_trait::async_trait;

pub(crate) use self::life::Life;
use crate::entry::Entry;
use crate::{CommandId, Error, Followers, Status};

#[async_trait]
pub(crate) trait Host: Send + Sync {
    async fn push(&self, id: CommandId, entry: Entry) -> Result<(), Error>;

    async fn status(&self, id: CommandId) -> Result<Status, Error>;

    /// As it stands when it has ended, or after `patience`.
    async fn wait(&self, id: CommandId, patience: Duration) -> Result<Status, Error>;

    async fn followers(&self, id: CommandId) -> Result<Followers, Error>;

    async fn cancel(&self, id: CommandId) -> Result<Status, Error>;
}
