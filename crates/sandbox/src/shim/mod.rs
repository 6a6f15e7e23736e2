//! The shim: this program, executed again as the keeper of programs.

mod cell;
mod children;
mod launch;
mod machine_clock;
mod messages;
mod metadata;
mod processes;
mod supervise;

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use crate::protocol::{ARGUMENT, CELL_ARGUMENT, SingleRun};
use crate::{Error, groups};

pub(crate) use launch::make_folders;

/// Whether this program would become the shim if it were asked to. Without that, executing it again with a strange
/// argument would start a second server.
static LINKED: AtomicBool = AtomicBool::new(false);

/// Becomes the shim and never returns, if that is what this process was started for. The first thing in `main`, before
/// any thread exists.
pub fn run_if_asked() {
    let run = match std::env::args_os().nth(1) {
        Some(argument) if argument == ARGUMENT => single,
        Some(argument) if argument == CELL_ARGUMENT => cell::run,
        _ => {
            LINKED.store(true, Ordering::Release);
            return;
        }
    };
    let ended = close_inherited()
        // By itself: it has one thread, and starts nobody before.
        .and_then(|()| groups::enter(std::env::args_os().skip(2)))
        .and_then(|()| launch::reserve_progress())
        .and_then(|()| run());
    if let Err(error) = &ended {
        // The last words, where there is nobody to tell it better.
        let _ = writeln!(io::stderr(), "{error}");
    }
    let code = i32::from(ended.is_err());
    std::process::exit(code);
}

/// The program that acts as the shim.
#[derive(Debug, Clone, Default)]
pub struct Shim(Option<PathBuf>);

impl Shim {
    /// The running program itself.
    pub const fn this_program() -> Self {
        Self(None)
    }

    /// Another program that calls [`run_if_asked`]; for those whose `main` is not their own, such as tests.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Some(path.into()))
    }

    pub(crate) fn path(&self) -> Result<PathBuf, Error> {
        match &self.0 {
            Some(path) => Ok(path.clone()),
            // Not the path of the file: it may have been replaced by a newer version since the start.
            None if LINKED.load(Ordering::Acquire) => Ok(PathBuf::from("/proc/self/exe")),
            None => Err(Error::ShimNotLinked),
        }
    }
}

/// If memory runs out, on the machine or in a group, the kernel is to choose a program and not whoever keeps it. What this
/// process starts inherits it.
fn be_first_to_go() {
    // Refused where the walls stand already; then it was said before.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}

/// Keeps one program.
fn single() -> io::Result<()> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some((run, files)) = messages::receive::<SingleRun>(&mut socket)? else {
        return Ok(());
    };
    let status = supervise::supervise(&run, files, &socket);
    messages::send(&mut socket, &status)
}

/// Whoever started the worker may have left files open for it; the program gets none of them.
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in open {
        // The one that listed the directory is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}
