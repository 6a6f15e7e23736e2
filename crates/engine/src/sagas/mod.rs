//! Sagas: definitions, starts, what is brought to a saga, and looking at what has reached one. One file a use case.
//!
//! ```text
//!   start ──► Batcher ──► store.start_sagas ─────┐
//!   raise, cancel, … ──► Batcher ──► store.advance_sagas ──► after the commit: announce, wake, look at whoever was told
//!   a task ended, a timer fired, a row was left ──► drive ──┘
//! ```

mod cancel;
mod compensations;
mod define;
mod define_folder;
mod details;
mod diagram;
mod drive;
mod input;
mod lines;
mod migrate;
mod parked;
mod publish;
mod raise;
mod read;
mod retry;
mod start;
mod together;
mod widths;

pub use self::cancel::CancelledSaga;
pub use self::define::Defined;
pub use self::define_folder::FolderError;
pub use self::details::{DueTimer, SagaDetails};
pub use self::diagram::DiagramFormat;
pub use self::migrate::{MigrateSaga, MigratedSaga};
pub use self::publish::{PublishEvent, Published};
pub use self::raise::{RaiseEvent, Raised};
pub use self::start::{StartSaga, StartedSaga};

pub(crate) use self::drive::Driver;
pub(crate) use self::lines::{Tried, look_batcher, start_batcher};
pub(crate) use self::together::{BegunTogether, Together, together_batcher};
pub(crate) use self::widths::Turn;
