//! Sagas from a program: given, started, told of events, found, waited for, answered and ended. One file a use case.
//!
//! ```text
//!   Sagas ──► SagaHost ──► embedded: the use cases of the engine
//!                     └──► remote: /api/saga-definitions, /api/sagas, /api/events
//! ```
//!
//! What is given is checked here, by the rules of the server, before either is asked. Start at [`Sagas`].

mod change;
mod define;
mod event;
mod find;
mod given;
mod handle;
mod history;
mod migrate;
mod pages;
mod publish;
mod read;
mod saga;
mod start;

pub use change::SagaAt;
pub use define::Defined;
pub use event::EventEnvelope;
pub use find::SagaFilter;
pub use handle::Sagas;
pub use history::{HistoryEntry, IssuedTask, Note, StartedChild};
pub use migrate::{Migrated, Migration};
pub use pages::Pages;
pub use publish::Published;
pub use saga::{AwaitedInput, Compensation, Deferred, DueTimer, LiveChild, LiveTask, Parked, Saga};

pub(crate) use change::Change;
pub(crate) use event::CheckedEvent;
pub(crate) use find::CheckedFilter;
pub(crate) use migrate::CheckedMigration;
pub(crate) use pages::Page;
pub(crate) use start::Start;
