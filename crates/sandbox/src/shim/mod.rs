//! The shim: this program, executed again as the keeper of one run.

mod processes;
mod supervise;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use crate::Error;
use crate::protocol::{self, ARGUMENT, REQUEST_MAX_BYTES, Request};

/// Whether this program would become the shim if it were asked to. Without that, executing it again with a strange
/// argument would start a second server.
static LINKED: AtomicBool = AtomicBool::new(false);

/// Becomes the shim and never returns, if that is what this process was started for. The first thing in `main`, before
/// any thread exists.
pub fn run_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT) {
        let code = i32::from(run().is_err());
        std::process::exit(code);
    }
    LINKED.store(true, Ordering::Release);
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

fn run() -> io::Result<()> {
    close_inherited()?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let request = read_request(&mut socket)?;
    let status = supervise::supervise(&request, &socket);
    socket.write_all(&protocol::frame(&status)?)
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

fn read_request(socket: &mut UnixStream) -> io::Result<Request> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > REQUEST_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}
