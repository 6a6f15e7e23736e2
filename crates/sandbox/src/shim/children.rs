//! Children of the shim: the two calls of Linux that no safe interface offers in this form.

use std::convert::Infallible;
use std::io;
use std::mem;

use nix::unistd::{ForkResult, Pid, fork};

use crate::Exit;
use crate::protocol::Status;

/// A child that does what `body` says, and ends with exit code 127 if that fails.
///
/// # Errors
/// When the kernel has no process to give.
#[expect(unsafe_code, reason = "fork is unsafe where other threads are, and here is none")]
pub(super) fn start(body: impl FnOnce() -> io::Result<Infallible>) -> io::Result<Pid> {
    // SAFETY: after `fork` in a process of several threads, locks that others held stay locked in the child for ever. The
    // shim is a process of its own that starts no thread, so there is no such lock.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let Err(error) = body();
            eprintln!("{error}");
            std::process::exit(127)
        }
    }
}

/// Waits until the child has ended. Its memory is that of the largest process among it and those it waited for itself.
#[expect(unsafe_code, reason = "wait4 alone tells what one child used, and only libc has it")]
pub(super) fn wait(child: Pid) -> io::Result<Status> {
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    loop {
        // SAFETY: both pointers are to variables of the right types that live until the call returns.
        let ended = unsafe { libc::wait4(child.as_raw(), &raw mut status, 0, &raw mut usage) };
        if ended == child.as_raw() {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    let peak_memory_bytes = u64::try_from(usage.ru_maxrss).ok().map(|kilobytes| kilobytes * 1024);
    Ok(Status::Ended {
        exit,
        peak_memory_bytes,
    })
}
