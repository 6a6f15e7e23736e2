//! A program that runs, from the caller's side.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::capture::{Capture, capture};
use crate::protocol::{self, KILL, MARKER, REQUEST_MAX_BYTES, Request, Status, TERMINATE};
use crate::{Command, Error, Finished, Shim, Stdin, host, leftovers};

/// How long a shim that was told to kill may take, before it is killed itself and its processes are looked for.
const KILL_PATIENCE: Duration = Duration::from_secs(3);

/// How long the streams may stay open after everyone who could write to them is dead.
const STREAM_PATIENCE: Duration = Duration::from_secs(1);

/// A running program with everything it starts. Dropping it kills them all.
#[derive(Debug)]
pub struct Running {
    watcher: JoinHandle<Result<Finished, Error>>,
    killer: Killer,
}

/// Ends a program from any thread, without waiting: also where the runtime that watches it is stuck.
#[derive(Debug, Clone)]
pub struct Killer {
    shim: Arc<StdUnixStream>,
    killed: Arc<Notify>,
}

impl Killer {
    /// TERM to every process of the tree.
    pub fn terminate(&self) {
        self.tell(TERMINATE);
    }

    /// KILL to every process of the tree.
    pub fn kill(&self) {
        self.tell(KILL);
        self.killed.notify_one();
    }

    fn tell(&self, order: u8) {
        // Fails only when the shim is gone, or will not read any more: the watcher deals with both.
        let _ = (&*self.shim).write(&[order]);
    }
}

impl Command {
    /// Starts the program. An error of the program itself, such as a missing file, is told by [`Running::wait`].
    pub async fn spawn(&self, shim: &Shim) -> Result<Running, Error> {
        let run = new_run();
        let request = protocol::frame(&self.request(&run)).map_err(|_| Error::NotUtf8)?;
        if request.len() > REQUEST_MAX_BYTES {
            return Err(Error::TooLarge {
                bytes: request.len(),
                most: REQUEST_MAX_BYTES,
            });
        }
        let (ours, theirs) = StdUnixStream::pair().map_err(Error::Shim)?;
        ours.set_nonblocking(true).map_err(Error::Shim)?;
        let killer = Killer {
            shim: Arc::new(ours.try_clone().map_err(Error::Shim)?),
            killed: Arc::default(),
        };
        let mut child = tokio::process::Command::new(shim.path()?)
            .arg0("orchestratum-sandbox")
            .arg(protocol::ARGUMENT)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::Shim)?;
        let mut socket = UnixStream::from_std(ours).map_err(Error::Shim)?;
        socket.write_all(&request).await.map_err(Error::Shim)?;
        let streams = (child.stdout.take(), child.stderr.take());
        let watcher = Watcher {
            child,
            socket,
            run,
            killed: Arc::clone(&killer.killed),
        };
        let watcher = tokio::spawn(watcher.watch(streams, self.capture_max_bytes));
        Ok(Running { watcher, killer })
    }

    fn request(&self, run: &str) -> Request {
        let mut environment = self.environment.clone();
        environment.push((MARKER.to_owned(), run.to_owned()));
        Request {
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            environment,
            directory: self.directory.clone(),
            stdin: match &self.stdin {
                Stdin::Empty => None,
                Stdin::File(path) => Some(path.clone()),
            },
            limits: self.limits,
            open_files: host::open_files_at_start(),
        }
    }
}

impl Running {
    /// Waits until the program has ended and every process it started is dead. May be called again when it was
    /// dropped half-way.
    pub async fn wait(&mut self) -> Result<Finished, Error> {
        match (&mut self.watcher).await {
            Ok(finished) => finished,
            // The runtime is shutting down.
            Err(_) => Err(Error::ShimVanished),
        }
    }

    /// TERM, and KILL after the grace; returns when everything is dead.
    pub async fn stop(&mut self, grace: Duration) -> Result<Finished, Error> {
        self.killer.terminate();
        if let Ok(finished) = timeout(grace, self.wait()).await {
            return finished;
        }
        self.killer.kill();
        self.wait().await
    }

    pub fn killer(&self) -> &Killer {
        &self.killer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.killer.kill();
    }
}

/// Sees a run through to its end, also when nobody waits for it.
struct Watcher {
    child: Child,
    socket: UnixStream,
    run: String,
    killed: Arc<Notify>,
}

impl Watcher {
    async fn watch(
        mut self,
        (stdout, stderr): (Option<ChildStdout>, Option<ChildStderr>),
        capture_max_bytes: usize,
    ) -> Result<Finished, Error> {
        let mut out = Capture::new(capture_max_bytes);
        let mut err = Capture::new(capture_max_bytes);
        let status = {
            let reading = async {
                tokio::join!(
                    async {
                        if let Some(stream) = stdout {
                            capture(stream, &mut out).await;
                        }
                    },
                    async {
                        if let Some(stream) = stderr {
                            capture(stream, &mut err).await;
                        }
                    }
                );
            };
            tokio::pin!(reading);
            let mut read = false;
            let status = {
                let ending = self.end();
                tokio::pin!(ending);
                loop {
                    tokio::select! {
                        status = &mut ending => break status,
                        () = &mut reading, if !read => read = true,
                    }
                }
            };
            if !read {
                let _ = timeout(STREAM_PATIENCE, reading).await;
            }
            status
        };
        match status {
            Ok(Status::Ended {
                exit,
                peak_memory_bytes,
            }) => Ok(Finished {
                exit,
                stdout: out.finish(),
                stderr: err.finish(),
                peak_memory_bytes,
            }),
            Ok(Status::NotStarted { reason }) => Err(Error::NotStarted(reason)),
            Err(error) => {
                tracing::warn!(run = self.run, %error, "the process that guards a program ended by itself; what is left of the program is looked for");
                Err(Error::ShimVanished)
            }
        }
    }

    /// The word of the shim; without one, its processes are dead when this returns.
    async fn end(&mut self) -> io::Result<Status> {
        let status = tokio::select! {
            status = read_status(&mut self.socket) => status,
            () = overdue(&self.killed) => Err(io::ErrorKind::TimedOut.into()),
        };
        if status.is_err() {
            let _ = self.child.start_kill();
        }
        let _ = self.child.wait().await;
        if status.is_err() {
            let run = self.run.clone();
            let _ = tokio::task::spawn_blocking(move || leftovers::kill_marked(&run)).await;
        }
        status
    }
}

async fn overdue(killed: &Notify) {
    killed.notified().await;
    tokio::time::sleep(KILL_PATIENCE).await;
}

async fn read_status(socket: &mut UnixStream) -> io::Result<Status> {
    const STATUS_MAX_BYTES: u32 = 64 * 1024;
    let length = socket.read_u32().await?;
    if length > STATUS_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; usize::try_from(length).unwrap_or_default()];
    socket.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// Unique on this machine: the hasher's keys are random, and nothing depends on them being unguessable.
fn new_run() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}
