//! Typed commands and their handlers, run inside a program of yours or beside a server.
//!
//! ```text
//!   push ──► Orchestratum ──► embedded: an engine in this process ──► PostgreSQL │ SQLite
//!                        └──► client: a server over HTTP
//!   Handler ◄── Context, command ◄── the worker of this process, which claims what its handlers can do
//! ```
//!
//! A command is stored when [`push`](Orchestratum::push) has answered. It runs on whichever process serves its target and has a
//! handler for it, is tried again when it fails, and what comes after it is written in the same transaction as its end.
//!
//! ```standalone_crate
//! use orchestratum_sdk::prelude::*;
//!
//! #[derive(Command, Serialize, Deserialize)]
//! #[command(output = String)]
//! struct GreetCommand {
//!     name: String,
//! }
//!
//! #[derive(Handler)]
//! #[handler(GreetCommand)]
//! struct GreetHandler;
//!
//! impl Handler<GreetCommand> for GreetHandler {
//!     async fn handle(&self, command: &GreetCommand, _context: &Context) -> Result<String, Failure> {
//!         Ok(format!("hello {}", command.name))
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), orchestratum_sdk::Error> {
//!     let orchestratum = Orchestratum::embedded("sqlite::memory:").discover().start().await?;
//!     let command = GreetCommand { name: "Ann".to_owned() };
//!     let outcome = orchestratum.push_and_wait(command, Duration::from_secs(10)).await?;
//!     assert_eq!(outcome.success().as_deref(), Some("hello Ann"));
//!     orchestratum.stop().await
//! }
//! ```
//!
//! Start at [`Command`], then [`Handler`], then [`Builder`]. [`Harness`] is for tests. [`saga`] is for what has many steps and must
//! be undone when one fails, and [`Sagas`] runs it.

mod builder;
mod chain;
mod command;
mod entry;
mod envelope;
mod error;
mod failure;
mod handler;
mod harness;
mod host;
mod listed;
mod orchestratum;
mod registry;
mod run;
pub mod saga;
mod sagas;
mod services;
mod status;

pub use builder::Builder;
pub use chain::{Chain, Next};
pub use command::{Command, CommandId, Definition};
pub use envelope::Envelope;
pub use error::Error;
pub use failure::Failure;
pub use handler::{Context, Handler};
pub use harness::Harness;
pub use orchestratum::Orchestratum;
pub use orchestratum_sdk_derive::{Command, Handler};
pub use sagas::Sagas;
pub use services::{FromServices, Need, Scope};
pub use status::{Fault, Followers, MissingFollower, Outcome, State, Status};

/// What a module with commands and handlers needs.
pub mod prelude {
    pub use std::time::Duration;

    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Chain, Command, CommandId, Context, Definition, Failure, Handler, Harness, Next, Orchestratum, Outcome, State,
    };
}

/// What the macros write of.
#[doc(hidden)]
pub mod private {
    pub use inventory;

    pub use crate::registry::{DiscoveredCommand, DiscoveredHandler};
}
