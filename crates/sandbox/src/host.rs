//! The process that runs programs: what it keeps from them, and what it takes for itself alone.

use std::io;
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The soft limit of open files this process was started with.
static OPEN_FILES_AT_START: OnceLock<u64> = OnceLock::new();

/// Prepares a process that will run programs: in `main`, straight after [`run_if_asked`](crate::shim::run_if_asked),
/// before a password is read.
///
/// # Errors
/// When the kernel refuses, as a filter of system calls may make it: then nothing is kept from anyone.
pub fn prepare() -> io::Result<()> {
    keep_to_itself()?;
    take_open_files();
    Ok(())
}

/// What a program gets that has no limit of its own; `None` if this process never changed its own.
pub(crate) fn open_files_at_start() -> Option<u64> {
    OPEN_FILES_AT_START.get().copied()
}

/// How many files this process may have open now; `None` where the kernel does not say.
pub fn open_files() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(soft)
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

/// Raises the soft limit of open files to the hard one. A connection is a file: with the usual 1,024 a server would run
/// out of them long before it has as many connections as it may. The programs get the soft limit of the start again,
/// which is that low on purpose: `select(2)` breaks on any number above it.
fn take_open_files() {
    // Refused by a filter of system calls at most: then fewer connections fit.
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    let soft = *OPEN_FILES_AT_START.get_or_init(|| soft);
    if soft < hard {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
