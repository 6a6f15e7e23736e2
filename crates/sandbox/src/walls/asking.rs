//! System calls that a program asks for, and others make for it (`seccomp_unotify(2)`).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use libc::c_long;

/// The instructions of a filter (`linux/filter.h`): the number of the call into the register, a jump, the answer.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// From now on this process, and all that it starts, waits at each of these calls until somebody who listens has answered it.
/// Comes before filters that forbid it. Their word counts for more than that of a listener.
#[expect(unsafe_code, reason = "no safe interface makes a listener")]
pub(super) fn listen_to(calls: &[c_long]) -> io::Result<OwnedFd> {
    let mut instructions = instructions(calls)?;
    let program = libc::sock_fprog {
        len: instructions.len().try_into().map_err(io::Error::other)?,
        filter: instructions.as_mut_ptr(),
    };
    // SAFETY: the pointers are to values that live until the call returns, with their number; the kernel only reads them, and
    // takes no program that is not sound.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    let listener = RawFd::try_from(listener).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for this call, so nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// Of another architecture's calls with the same numbers, the filters that come after it make an end.
fn instructions(calls: &[c_long]) -> io::Result<Vec<libc::sock_filter>> {
    let instruction = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    // The number is the first thing that a filter sees.
    let mut all = vec![instruction(LOAD, 0, 0)];
    for (position, call) in calls.iter().enumerate() {
        let to_the_last = u8::try_from(calls.len() - position).map_err(io::Error::other)?;
        let call = u32::try_from(*call).map_err(io::Error::other)?;
        all.push(instruction(JUMP_IF_EQUAL, to_the_last, call));
    }
    all.push(instruction(RETURN, 0, libc::SECCOMP_RET_ALLOW));
    all.push(instruction(RETURN, 0, libc::SECCOMP_RET_USER_NOTIF));
    Ok(all)
}
