//! The walls, in the order in which they are built.
//!
//! ```text
//!   namespaces     own processes, mounts, network, IPC, host name; a user of its own   ┐
//!   root           a read-only system, a /proc and a /dev of its own, a small disk     ┘ Isolation::Full
//!   capabilities   none                                                                ┐
//!   landlock       files again, by the kernel's other gate; signals, abstract sockets  │
//!   seccomp        the system calls that interpreters need, and none of the dangerous  ┘ Isolation::Landlock and Full
//!   asking         changes of a file's mode and times are made by whoever keeps the program, Isolation::Landlock
//!                  if it is its own
//! ```
//!
//! Each is a wall by itself: a hole in one is not a way out.

mod asking;
mod calls;
pub(crate) mod capabilities;
pub(crate) mod landlock;
mod mount_attributes;
pub(crate) mod namespaces;
pub(crate) mod root;
pub(crate) mod seccomp;
pub(crate) mod shown;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::{Confinement, Isolation};

/// The walls that a process can build around itself, for good: what it executes is behind them. Returns the place where
/// programs ask for [some calls](calls::ASKED_FOR), if they do: below [`Isolation::Full`], where the kernel allows it.
pub(crate) fn confine(
    confinement: &Confinement,
    readable: &[PathBuf],
    writable: &[&Path],
) -> io::Result<Option<OwnedFd>> {
    capabilities::give_up()?;
    let guards = landlock::restrict(confinement, readable, writable)?;
    let listener = if confinement.isolation < Isolation::Full {
        // Somebody outside may listen to calls already. Then these are refused.
        asking::listen_to(calls::ASKED_FOR).ok()
    } else {
        None
    };
    seccomp::restrict(confinement, guards, listener.is_some())?;
    Ok(listener)
}
