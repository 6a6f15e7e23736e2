//! The open files of a program: what it reads, what it writes, and what of that is kept.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use crate::capture::{Capture, capture, read};
use crate::command::ResultPlace;
use crate::progress::{Progress, Told};
use crate::{Captured, Command, Error};

/// What a program may hand back beside its streams.
pub(crate) const RESULT_MAX_BYTES: u64 = 16 << 20;

/// How long the streams may stay open after everyone who could write to them is dead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The program's ends: standard input, output and error, the place for a result, and maybe where it tells its progress.
/// They are closed here once they were handed over, so that the end of the streams is seen.
#[derive(Debug)]
pub(crate) struct Given {
    files: Vec<OwnedFd>,
}

/// The caller's ends.
#[derive(Debug)]
pub(crate) struct Streams {
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    result: ResultSink,
    progress: Option<Progress>,
    captured: [Arc<Mutex<Capture>>; 2],
    told: Told,
}

/// Where the result is.
#[derive(Debug)]
enum ResultSink {
    File(File),
    /// What came to standard output, and how much of it is kept.
    Stdout {
        written: Vec<u8>,
        most: usize,
    },
}

/// What a program writes, for whoever looks while it runs.
#[derive(Debug, Clone)]
pub struct Written {
    captured: [Arc<Mutex<Capture>>; 2],
    told: Told,
}

impl Written {
    /// What came to standard output and to standard error since this was asked last, at most so many bytes of each. Once
    /// the first half of what is kept of a stream was taken, its rest comes with the end of the program, as does all that
    /// was not taken until then.
    pub fn take(&self, most: usize) -> [Option<String>; 2] {
        self.captured.each_ref().map(|captured| captured.lock().take(most))
    }

    /// How far it is by its own word, from 0 to 1; also after its end.
    pub fn progress(&self) -> Option<f64> {
        self.told.last()
    }
}

pub(crate) fn make(command: &Command) -> Result<(Given, Streams), Error> {
    let input = match &command.stdin {
        Some(text) => with_content(text),
        None => File::open("/dev/null"),
    };
    input
        .and_then(|input| make_files(input.into(), command))
        .map_err(Error::Shim)
}

/// With standard input that somebody else feeds.
pub(crate) fn make_around(stdin: OwnedFd, command: &Command) -> Result<(Given, Streams), Error> {
    make_files(stdin, command).map_err(Error::Shim)
}

fn make_files(stdin: OwnedFd, command: &Command) -> io::Result<(Given, Streams)> {
    let (out_writer, stdout) = pipe::pipe()?;
    let (err_writer, stderr) = pipe::pipe()?;
    let result = memory("result", MemfdFlags::empty())?;
    let mut files = vec![
        stdin,
        out_writer.into_blocking_fd()?,
        err_writer.into_blocking_fd()?,
        result.try_clone()?.into(),
    ];
    let told = Told::default();
    let progress = if command.tells_progress {
        let (writer, reader) = pipe::pipe()?;
        files.push(writer.into_blocking_fd()?);
        Some(Progress::new(reader, told.clone()))
    } else {
        None
    };
    let result = match command.result {
        ResultPlace::File => ResultSink::File(result),
        ResultPlace::Stdout { most } => ResultSink::Stdout {
            written: Vec::new(),
            most,
        },
    };
    let captured = [(); 2].map(|()| Arc::new(Mutex::new(Capture::new(command.capture_max_bytes))));
    Ok((
        Given { files },
        Streams {
            stdout,
            stderr,
            result,
            progress,
            captured,
            told,
        },
    ))
}

/// A file without a name. Unlike a pipe it needs nobody to pump bytes into a program that may never read them.
fn memory(name: &str, flags: MemfdFlags) -> io::Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC | flags)?.into())
}

/// A file that stays as it is: the program cannot keep in it what its limits would not let it have.
fn with_content(text: &str) -> io::Result<File> {
    let mut file = memory("stdin", MemfdFlags::ALLOW_SEALING)?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file)
}

impl Given {
    pub(crate) fn files(&self) -> Vec<BorrowedFd<'_>> {
        self.files.iter().map(AsFd::as_fd).collect()
    }
}

impl Streams {
    pub(crate) fn written(&self) -> Written {
        Written {
            captured: self.captured.clone(),
            told: self.told.clone(),
        }
    }

    /// Reads until nobody holds the other ends any more. May be dropped half-way and called again.
    pub(crate) async fn read(&mut self) {
        let Self {
            stdout,
            stderr,
            result,
            progress,
            captured: [out, err],
            told: _,
        } = self;
        let stdout = async {
            match result {
                ResultSink::File(_) => capture(stdout, out).await,
                ResultSink::Stdout { written, most } => {
                    read(stdout, |bytes| keep_beginning(written, *most, bytes)).await;
                }
            }
        };
        let progress = async {
            if let Some(progress) = progress {
                progress.read().await;
            }
        };
        tokio::join!(stdout, capture(stderr, err), progress);
    }

    /// What was written, once everyone who could write is dead.
    pub(crate) async fn finish(mut self) -> (Captured, Captured, Vec<u8>) {
        let _ = timeout(PATIENCE, self.read()).await;
        // From here on nothing is taken any more: all that is left is in what is returned.
        let [out, err] = self
            .captured
            .map(|captured| std::mem::replace(&mut *captured.lock(), Capture::new(0)).finish());
        let result = match self.result {
            ResultSink::File(file) => content(file),
            ResultSink::Stdout { written, .. } => written,
        };
        (out, err, result)
    }
}

/// One byte more than may be kept tells that there was more.
fn keep_beginning(written: &mut Vec<u8>, most: usize, bytes: &[u8]) {
    let room = most.saturating_add(1).saturating_sub(written.len());
    written.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Memory: it is read at once, and there is no error to expect.
fn content(mut file: File) -> Vec<u8> {
    let mut content = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(RESULT_MAX_BYTES).read_to_end(&mut content));
    if read.is_err() {
        content.clear();
    }
    content
}
