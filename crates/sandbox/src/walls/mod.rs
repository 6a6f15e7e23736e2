//! The walls, in the order in which they are built.
//!
//! ```text
//!   namespaces     own processes, mounts, network, IPC, host name; a user of its own   ┐
//!   root           a read-only system, a /proc and a /dev of its own, a small disk     ┘ Isolation::Full
//!   capabilities   none                                                                ┐
//!   landlock       files again, by the kernel's other gate; signals, abstract sockets  │
//!   seccomp        the system calls that interpreters need, and none of the dangerous  ┘ Isolation::Landlock and Full
//! ```
//!
//! Each is a wall by itself: a hole in one is not a way out.

mod calls;
pub(crate) mod capabilities;
pub(crate) mod landlock;
mod mount_attributes;
pub(crate) mod namespaces;
pub(crate) mod root;
pub(crate) mod seccomp;
pub(crate) mod shown;

use std::io;
use std::path::{Path, PathBuf};

use crate::Confinement;

/// The walls that a process can build around itself, for good: what it executes is behind them.
pub(crate) fn confine(confinement: &Confinement, readable: &[PathBuf], writable: &[&Path]) -> io::Result<()> {
    capabilities::give_up()?;
    let scoped = landlock::restrict(confinement, readable, writable)?;
    seccomp::restrict(confinement, scoped)
}
