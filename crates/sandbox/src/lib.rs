//! Runs untrusted programs with limits; knows nothing of tasks.
//!
//! ```text
//!   caller                         shim (this program, executed again)             program and its children
//!   Command::spawn ── socket ────► own session, subreaper, limits ── spawn ──────► own process group
//!     Running::terminate ── 't' ─►   TERM to the whole tree
//!     Running::kill ─────── 'k' ─►   KILL to the whole tree
//!     caller dies ── end of file ►   KILL to the whole tree
//!     Running::wait ◄── status ───   the program ended: KILL what it left, reap until nothing is left
//! ```
//!
//! The shim is a process of its own so that nothing between `fork` and `execve` runs in a threaded caller, and so that
//! the tree dies with the caller whatever kills it: the kernel closes the caller's end of the socket. As a *child
//! subreaper* it becomes the parent of every daemon that detaches itself, so "no children left" means nobody is left.
//! It is also the place where namespaces, Landlock and seccomp go.
//!
//! Start at [`Command`]; every binary that spawns one calls [`shim::run_if_asked`] first thing in `main`, and then
//! [`host::prepare`].

mod capture;
mod command;
mod error;
pub mod host;
mod leftovers;
mod outcome;
mod protocol;
mod regular_file;
mod running;
pub mod shim;

pub use command::{Command, Limits, Stdin};
pub use error::Error;
pub use outcome::{Captured, Exit, Finished};
pub use regular_file::read_regular_file;
pub use running::{Killer, Running};
pub use shim::Shim;

/// How well a program is kept apart from the machine it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// An ordinary process: it ends when it must, but it may see and do what its user may.
    Off,
}

impl Isolation {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
        }
    }
}
