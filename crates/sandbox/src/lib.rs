//! Runs untrusted programs with limits; knows nothing of tasks.
//!
//! ```text
//!   Sandbox::open       the level of isolation, tried out
//!   Sandbox::spawn      a program ──► at Full in a cell (`shim::cell`), below in a tree of its own (`shim::supervise`)
//!   Warm::spawn         a program that a runner forks, such as an interpreter that is there already
//!   Running, Killer     wait for its end; end it
//! ```
//!
//! Between this process and the program there is always a shim: this program, executed again, with one thread. So nothing
//! between `fork` and `execve` runs in a threaded caller, and what it keeps dies with the caller whatever kills that: the
//! kernel closes the caller's end of a socket.
//!
//! Every binary that runs programs calls [`shim::run_if_asked`] first thing in `main`, and then [`host::prepare`].

mod capture;
mod cell;
mod cells;
mod command;
mod confinement;
mod error;
mod folder_removal;
mod groups;
pub mod host;
mod killer;
mod leftovers;
mod messages;
mod outcome;
mod progress;
mod protocol;
mod running;
mod sandbox;
pub mod shim;
mod single;
mod streams;
mod walls;
mod workspace;

pub use cells::Pool;
pub use command::{Command, Limits};
pub use confinement::{Confinement, Isolation};
pub use error::Error;
pub use killer::Killer;
pub use outcome::{Captured, Exit, Finished};
pub use progress::PROGRESS_DESCRIPTOR;
pub use protocol::{Argument, Runner};
pub use running::Running;
pub use sandbox::{Sandbox, Warm};
pub use shim::Shim;
pub use streams::Written;
