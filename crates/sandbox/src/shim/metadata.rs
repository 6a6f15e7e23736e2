//! Changes of a file's mode and times, below [`Isolation::Full`](crate::Isolation::Full): a program asks for them, and they
//! are made here, within its own folder and nowhere else.
//!
//! Landlock guards neither, and the filter of system calls sees numbers, not paths. Without this, whatever is the user's
//! could be made useless, or public. What is changed is the file that was looked at: it is held by a descriptor, so it does
//! not matter that the program may write other names to its memory, or put other files in their places, in the meantime.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use libc::c_long;
use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, chmod, openat, utimensat};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::messages;
use crate::protocol::frame;

/// As long as the kernel takes a path, with its end.
const PATH_BYTES: usize = 4096;

/// Two times, of seconds and nanoseconds each.
const TIMES_BYTES: usize = 32;

/// Gives the place where a program asks, from the process that becomes it to the one that keeps it.
pub(super) fn hand_over(listener: &OwnedFd, keeper: &UnixStream) -> io::Result<()> {
    let files = [listener.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let message = frame(&())?;
    sendmsg(keeper, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Makes the changes for one program.
#[derive(Debug)]
pub(super) struct Metadata {
    listener: OwnedFd,
    folder: PathBuf,
}

impl Metadata {
    /// `None` where the program asks nobody.
    pub(super) fn receive(from: &mut UnixStream, folder: &Path) -> io::Result<Option<Self>> {
        let Some(((), files)) = messages::receive::<()>(from)? else {
            return Ok(None);
        };
        let listener = files.into_iter().next();
        let listener = listener.ok_or_else(|| io::Error::other("a file belongs to the message"))?;
        let folder = folder.canonicalize()?;
        Ok(Some(Self { listener, folder }))
    }

    /// Can be read from when a program asks.
    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Answers one call.
    pub(super) fn answer(&self) {
        // Who asked may have been killed, before or after.
        if let Ok(asked) = receive(&self.listener) {
            let _ = respond(&self.listener, asked.id, self.change(&asked));
        }
    }

    fn change(&self, asked: &libc::seccomp_notif) -> io::Result<()> {
        let (name, change) = understood(&asked.data)?;
        let file = name.find(asked.pid)?;
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        if !fs::read_link(&itself)?.starts_with(&self.folder) {
            return Err(Errno::EPERM.into());
        }
        match change {
            Change::Mode(mode) => chmod(itself, mode)?,
            Change::Times(at) => utimensat(CWD, itself, &times(asked.pid, at)?, AtFlags::empty())?,
        }
        Ok(())
    }
}

/// How a call names a file.
struct Name {
    /// The number of an open file, or of none.
    at: i32,
    /// Where the path is in the memory of who asks; without one the open file itself is meant.
    path: Option<u64>,
    follows_link: bool,
}

enum Change {
    Mode(Mode),
    /// Where the times are in the memory of who asks; without them it is now.
    Times(Option<u64>),
}

/// The arguments of the calls that are asked for.
fn understood(call: &libc::seccomp_data) -> io::Result<(Name, Change)> {
    let [first, second, third, fourth, ..] = call.args;
    let file = lower_half(first).cast_signed();
    let address = |argument: u64| (argument != 0).then_some(argument);
    let mode = |argument: u64| Change::Mode(Mode::from_raw_mode(lower_half(argument)));
    let name = |at, path, follows_link| Name { at, path, follows_link };
    let number = c_long::from(call.nr);
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_chmod {
        return Ok((name(libc::AT_FDCWD, Some(first), true), mode(second)));
    }
    match number {
        libc::SYS_fchmod => Ok((name(file, None, true), mode(second))),
        libc::SYS_fchmodat => Ok((name(file, Some(second), true), mode(third))),
        libc::SYS_utimensat => {
            let follows_link = match lower_half(fourth).cast_signed() {
                0 => true,
                libc::AT_SYMLINK_NOFOLLOW => false,
                _ => return Err(Errno::EINVAL.into()),
            };
            Ok((name(file, address(second), follows_link), Change::Times(address(third))))
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

impl Name {
    /// Holds the file without opening it, which may wait, or do something.
    fn find(&self, process: u32) -> io::Result<OwnedFd> {
        let hold = |path: &Path, from: BorrowedFd<'_>, flags: OFlags| {
            let held = openat(from, path, OFlags::PATH | OFlags::CLOEXEC | flags, Mode::empty());
            held.map_err(io::Error::from)
        };
        let open = |number: &str| {
            let path = format!("/proc/{process}/fd/{number}");
            hold(path.as_ref(), CWD, OFlags::empty())
        };
        let Some(path) = self.path else {
            return open(&self.at.to_string());
        };
        let path = path_in(process, path)?;
        let path = Path::new(OsStr::from_bytes(&path));
        // What is a process's own to whoever asks is not so here. C libraries write it to change the mode of a link.
        if let Ok(number) = path.strip_prefix("/proc/self/fd") {
            return open(&number.to_string_lossy());
        }
        let last = if self.follows_link {
            OFlags::empty()
        } else {
            OFlags::NOFOLLOW
        };
        if path.is_absolute() {
            return hold(path, CWD, last);
        }
        let folder = if self.at == libc::AT_FDCWD {
            let folder = format!("/proc/{process}/cwd");
            hold(folder.as_ref(), CWD, OFlags::empty())?
        } else {
            open(&self.at.to_string())?
        };
        hold(path, folder.as_fd(), last)
    }
}

/// The path in the memory of a process.
fn path_in(process: u32, at: u64) -> io::Result<Vec<u8>> {
    let mut path = memory_of(process, at, PATH_BYTES)?;
    let end = path.iter().position(|byte| *byte == 0).ok_or(Errno::ENAMETOOLONG)?;
    path.truncate(end);
    Ok(path)
}

fn times(process: u32, at: Option<u64>) -> io::Result<Timestamps> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let Some(at) = at else {
        return Ok(Timestamps {
            last_access: now,
            last_modification: now,
        });
    };
    let bytes = memory_of(process, at, TIMES_BYTES)?;
    let (numbers, _) = bytes.as_chunks::<8>();
    let &[access, access_part, modification, modification_part] = numbers else {
        return Err(Errno::EFAULT.into());
    };
    let time = |seconds, part| Timespec {
        tv_sec: i64::from_ne_bytes(seconds),
        tv_nsec: i64::from_ne_bytes(part),
    };
    Ok(Timestamps {
        last_access: time(access, access_part),
        last_modification: time(modification, modification_part),
    })
}

/// So many bytes, or what there is of them.
fn memory_of(process: u32, at: u64, most: usize) -> io::Result<Vec<u8>> {
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut bytes = vec![0; most];
    let read = memory.read_at(&mut bytes, at)?;
    bytes.truncate(read);
    Ok(bytes)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel takes no more of such an argument either"
)]
const fn lower_half(argument: u64) -> u32 {
    argument as u32
}

#[expect(unsafe_code, reason = "no safe interface listens to calls")]
fn receive(listener: &OwnedFd) -> io::Result<libc::seccomp_notif> {
    // SAFETY: it is plain numbers, for which zero is a value, and the one that the kernel wants.
    let mut asked: libc::seccomp_notif = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a variable of the type of this request, which lives until the call returns.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) };
    if done == 0 {
        Ok(asked)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[expect(unsafe_code, reason = "no safe interface answers calls")]
fn respond(listener: &OwnedFd, id: u64, changed: io::Result<()>) -> io::Result<()> {
    let error = changed.map_or_else(|error| -error.raw_os_error().unwrap_or(libc::EPERM), |()| 0);
    let mut answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error,
        flags: 0,
    };
    // SAFETY: the pointer is to a variable of the type of this request, which lives until the call returns.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
