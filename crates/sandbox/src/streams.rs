//! The open files of a program: what it reads, what it writes, and what of that is kept.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use crate::capture::{Capture, capture};
use crate::{Captured, Error};

/// How long the streams may stay open after everyone who could write to them is dead.
const PATIENCE: Duration = Duration::from_secs(1);

/// The program's ends. They are closed here once they were handed over, so that the end of the streams is seen.
#[derive(Debug)]
pub(crate) struct Given {
    files: [OwnedFd; 4],
}

/// The caller's ends.
#[derive(Debug)]
pub(crate) struct Streams {
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    result: File,
    captured: [Arc<Mutex<Capture>>; 2],
}

/// What a program writes, for whoever looks while it runs.
#[derive(Debug, Clone)]
pub struct Written([Arc<Mutex<Capture>>; 2]);

impl Written {
    /// What came to standard output and to standard error since this was asked last, at most so many bytes of each. Once
    /// the first half of what is kept of a stream was taken, its rest comes with the end of the program, as does all that
    /// was not taken until then.
    pub fn take(&self, most: usize) -> [Option<String>; 2] {
        self.0.each_ref().map(|captured| captured.lock().take(most))
    }
}

pub(crate) fn make(stdin: Option<&str>, capture_max_bytes: usize) -> Result<(Given, Streams), Error> {
    let input = match stdin {
        Some(text) => with_content(text),
        None => File::open("/dev/null"),
    };
    input
        .and_then(|input| make_files(input.into(), capture_max_bytes))
        .map_err(Error::Shim)
}

/// With standard input that somebody else feeds.
pub(crate) fn make_around(stdin: OwnedFd, capture_max_bytes: usize) -> Result<(Given, Streams), Error> {
    make_files(stdin, capture_max_bytes).map_err(Error::Shim)
}

fn make_files(stdin: OwnedFd, capture_max_bytes: usize) -> io::Result<(Given, Streams)> {
    let (out_writer, stdout) = pipe::pipe()?;
    let (err_writer, stderr) = pipe::pipe()?;
    let result = memory("result")?;
    let given = Given {
        files: [
            stdin,
            out_writer.into_blocking_fd()?,
            err_writer.into_blocking_fd()?,
            result.try_clone()?.into(),
        ],
    };
    let captured = [(); 2].map(|()| Arc::new(Mutex::new(Capture::new(capture_max_bytes))));
    Ok((
        given,
        Streams {
            stdout,
            stderr,
            result,
            captured,
        },
    ))
}

/// A file without a name. Unlike a pipe it needs nobody to pump bytes into a program that may never read them.
fn memory(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC)?.into())
}

fn with_content(text: &str) -> io::Result<File> {
    let mut file = memory("stdin")?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

impl Given {
    pub(crate) fn files(&self) -> [BorrowedFd<'_>; 4] {
        self.files.each_ref().map(AsFd::as_fd)
    }
}

impl Streams {
    pub(crate) fn written(&self) -> Written {
        Written(self.captured.clone())
    }

    /// Reads until nobody holds the other ends any more. May be dropped half-way and called again.
    pub(crate) async fn read(&mut self) {
        let [out, err] = &self.captured;
        tokio::join!(capture(&mut self.stdout, out), capture(&mut self.stderr, err));
    }

    /// What was written, once everyone who could write is dead.
    pub(crate) async fn finish(mut self, result_max_bytes: u64) -> (Captured, Captured, Vec<u8>) {
        let _ = timeout(PATIENCE, self.read()).await;
        // From here on nothing is taken any more: all that is left is in what is returned.
        let [out, err] = self
            .captured
            .map(|captured| std::mem::replace(&mut *captured.lock(), Capture::new(0)).finish());
        let mut result = Vec::new();
        // Memory: it is read at once, and there is no error to expect.
        let read = self
            .result
            .rewind()
            .and_then(|()| self.result.take(result_max_bytes).read_to_end(&mut result));
        if read.is_err() {
            result.clear();
        }
        (out, err, result)
    }
}
