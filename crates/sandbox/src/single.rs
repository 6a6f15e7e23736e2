//! One program in a process tree of its own, kept by a shim that ends with it. What is there where cells are not.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::time::timeout;

use crate::cell::read_until;
use crate::groups::Group;
use crate::protocol::{ARGUMENT, SingleRun, Status, frame};
use crate::streams::{Given, Streams};
use crate::workspace::RunFolder;
use crate::{Error, Finished, Killer, Running, Shim, leftovers, messages};

/// How long is waited until what a program left is removed. After that it goes on by itself.
const REMOVING: Duration = Duration::from_secs(1);

/// Starts the program in its folder, which goes when everything is over.
pub(crate) async fn spawn(
    shim: &Shim,
    run: &SingleRun,
    mark: String,
    folder: RunFolder,
    group: Option<Group>,
    (given, streams): (Given, Streams),
) -> Result<Running, Error> {
    let message = frame(run).map_err(|_| Error::NotUtf8)?;
    let (ours, theirs) = StdUnixStream::pair().map_err(Error::Shim)?;
    ours.set_nonblocking(true).map_err(Error::Shim)?;
    let killer = Killer::new(Arc::new(ours.try_clone().map_err(Error::Shim)?), 0);
    let child = tokio::process::Command::new(shim.path()?)
        .arg0("orchestratum-sandbox")
        .arg(ARGUMENT)
        .args(group.iter().flat_map(Group::entrances))
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::Shim)?;
    let mut socket = UnixStream::from_std(ours).map_err(Error::Shim)?;
    messages::send(&mut socket, &message, &given.files())
        .await
        .map_err(Error::Shim)?;
    drop(given);
    let watcher = Watcher {
        child,
        socket,
        mark,
        killer: killer.clone(),
    };
    Ok(Running::new(killer, streams.written(), async move {
        let finished = watcher.watch(streams, group).await;
        // Before the end is told: what programs leave must not pile up faster than it goes. But nobody waits long for it.
        let _ = timeout(REMOVING, folder.remove()).await;
        finished
    }))
}

struct Watcher {
    child: Child,
    socket: UnixStream,
    mark: String,
    killer: Killer,
}

impl Watcher {
    async fn watch(mut self, mut streams: Streams, group: Option<Group>) -> Result<Finished, Error> {
        let status = read_until(&mut streams, self.end()).await;
        if let Err(error) = &status {
            tracing::warn!(run = self.mark, %error, "a shim ended by itself; its processes were looked for");
        }
        let out_of_memory = group.as_ref().is_some_and(Group::was_out_of_memory);
        if let Some(group) = group {
            // With whoever the shim did not find, if it ended by itself.
            let _ = tokio::task::spawn_blocking(move || group.remove()).await;
        }
        let written = streams.finish().await;
        Finished::of(status, written, out_of_memory)
    }

    /// The word of the shim; without one, its processes are dead when this returns.
    async fn end(&mut self) -> io::Result<Status> {
        let status = tokio::select! {
            status = messages::receive(&mut self.socket) => status,
            // Then it is killed itself, and its processes are looked for.
            () = self.killer.overdue() => Err(io::ErrorKind::TimedOut.into()),
        };
        if status.is_err() {
            let _ = self.child.start_kill();
        }
        let _ = self.child.wait().await;
        if status.is_err() {
            let mark = self.mark.clone();
            let _ = tokio::task::spawn_blocking(move || leftovers::kill_marked(&mark)).await;
        }
        status
    }
}
