//! The process that runs programs: what it keeps from them.

use std::io;

/// Prepares a process that will run programs: in `main`, straight after [`run_if_asked`](crate::shim::run_if_asked),
/// before a password is read.
///
/// # Errors
/// When the kernel refuses, as a filter of system calls may make it: then nothing is kept from anyone.
pub fn prepare() -> io::Result<()> {
    keep_to_itself()
}

/// Closes `/proc/<pid>/environ`, `mem` and `fd` of this process, and `ptrace(2)`, to the programs it runs: they have its
/// user, for whom all of that is open otherwise, and with it the passwords of the database and the broker.
///
/// The attribute is that of core dumps (`PR_SET_DUMPABLE` in `prctl(2)`, `/proc/[pid]` in `proc(5)`), so this process
/// leaves none. The shim and the programs have their own again from their `execve` on, which leftovers relies on.
///
/// Its limits: root (`CAP_SYS_PTRACE`) may look nevertheless. So may anyone of the same user into what started this
/// process with the same environment, such as a shell or a container's init; into it between its `execve` and this
/// call, unless the file of the program cannot be read by that user; and into files that this user may read.
fn keep_to_itself() -> io::Result<()> {
    Ok(nix::sys::prctl::set_dumpable(false)?)
}
