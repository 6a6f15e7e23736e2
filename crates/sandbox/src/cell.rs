//! A cell from the caller's side: walls that stand, behind which one program runs at a time.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::sockopt::set_socket_passcred;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::groups::{Group, Groups, Together};
use crate::protocol::{Action, CELL_ARGUMENT, DONE, Opened, Opening, Order, Status, frame};
use crate::streams::{Given, Streams};
use crate::{Error, Finished, Killer, Limits, Shim, messages};

/// How long the walls may take to stand, with a runner that has to start.
const OPENING_PATIENCE: Duration = Duration::from_secs(20);

/// How long cleaning may take. The keeper itself gives up sooner.
pub(crate) const CLEANING: Duration = Duration::from_secs(1);

/// How long the processes of a cell may take to die once they were killed with it.
pub(crate) const DESTROYING: Duration = Duration::from_secs(1);

/// How long a cell that does not come up may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// As much as anyone reads of why something does not start.
const WORDS_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Cell {
    /// The launcher, or the runner it became. Killed when this is dropped, as then nobody talks to it any more.
    child: Child,
    launcher: UnixStream,
    keeper: UnixStream,
    /// The keeper itself (`pidfd_open(2)`), once it has said that it is there.
    keeper_process: Option<OwnedFd>,
    /// The same socket as `keeper`, for any thread.
    orders: Arc<StdUnixStream>,
    run: u32,
    /// Whether programs are copies of what runs in it, and so begin with its address space.
    forks: bool,
    /// The last, so that its processes have been told to die when it is removed.
    group: Option<Group>,
}

/// What a program left, and what becomes of the cell.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) finished: Result<Finished, Error>,
    /// `None` if not everything could be cleaned up: then the cell is gone, with all that was in it.
    pub(crate) cell: Option<Cell>,
}

impl Cell {
    pub(crate) async fn open(shim: &Shim, opening: &Opening, groups: Option<&Arc<Groups>>) -> Result<Self, Error> {
        let forks = opening.runner.is_some();
        let mut cell = Self::start(shim, forks, groups).map_err(Error::Shim)?;
        let mut message = frame(opening).map_err(|_| Error::NotUtf8)?;
        // In one piece with the opening: whoever refuses that is gone before it could be written.
        if let Some(runner) = &opening.runner {
            message.extend_from_slice(runner.reads_first.as_bytes());
        }
        let opened = async {
            messages::send(&mut cell.launcher, &message, &[]).await?;
            messages::receive(&mut cell.launcher).await
        };
        match timeout(OPENING_PATIENCE, opened).await {
            Ok(Ok(Opened::Ready)) => {
                cell.meet_keeper().await.map_err(Error::Shim)?;
                cell.group.iter_mut().for_each(Group::settle);
                Ok(cell)
            }
            Ok(Ok(Opened::Refused { reason })) => Err(Error::NoWalls(reason)),
            // The walls say what is wrong with them.
            Ok(Err(error)) if forks => Err(Error::NotStarted(cell.last_words(error).await)),
            Ok(Err(error)) => Err(Error::NoWalls(cell.last_words(error).await)),
            Err(_) => Err(Error::NotInTime(OPENING_PATIENCE)),
        }
    }

    fn start(shim: &Shim, forks: bool, groups: Option<&Arc<Groups>>) -> Result<Self, io::Error> {
        let group = groups.map(Groups::make).transpose()?;
        let (launcher, its_launcher) = StdUnixStream::pair()?;
        let (keeper, its_keeper) = StdUnixStream::pair()?;
        for socket in [&launcher, &keeper] {
            socket.set_nonblocking(true)?;
        }
        // The kernel says which process the keeper is.
        set_socket_passcred(&keeper, true)?;
        let child = Command::new(shim.path().map_err(io::Error::other)?)
            .arg0("orchestratum-sandbox")
            .arg(CELL_ARGUMENT)
            .args(group.iter().flat_map(Group::entrances))
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(its_launcher)))
            .stdout(Stdio::from(OwnedFd::from(its_keeper)))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            child,
            launcher: UnixStream::from_std(launcher)?,
            orders: Arc::new(keeper.try_clone()?),
            keeper: UnixStream::from_std(keeper)?,
            keeper_process: None,
            run: 0,
            forks,
            group,
        })
    }

    /// It has said that it is there before the cell was ready.
    async fn meet_keeper(&mut self) -> io::Result<()> {
        let number = timeout(CLEANING, messages::sender(&self.keeper)).await??;
        // The number is its own as long as its parent, the launcher, has not asked for its end, which that never does.
        self.keeper_process = Some(pidfd_open(number, PidfdFlags::empty())?);
        Ok(())
    }

    /// Why a cell ended before it was ready: what it wrote to standard error, such as a runner's own trouble, or how it ended.
    async fn last_words(&mut self, error: io::Error) -> String {
        // The keeper holds standard error, too.
        self.dismiss();
        let mut words = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let read = async {
                while words.len() < WORDS_BYTES && stderr.read_buf(&mut words).await.is_ok_and(|read| read > 0) {}
            };
            let _ = timeout(LAST_WORDS, read).await;
        }
        let words = String::from_utf8_lossy(&words);
        match words.trim() {
            "" => match timeout(LAST_WORDS, self.child.wait()).await {
                Ok(Ok(status)) => format!("it ended before it was ready: {status}"),
                _ => error.to_string(),
            },
            words => words.to_owned(),
        }
    }

    /// Whether its processes are there, as far as is known without asking them.
    pub(crate) fn lives(&mut self) -> bool {
        // Where memory ran out, it may be the keeper alone that was taken.
        let keeper_lives = self.keeper_process.as_ref().is_some_and(|process| !has_ended(process));
        keeper_lives && matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether the programs before left memory behind that counts as the next one's.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.group.as_ref().is_some_and(Group::has_leftovers)
    }

    /// How many programs it has run.
    pub(crate) fn served(&self) -> u32 {
        self.run
    }

    pub(crate) fn killer(&self) -> Killer {
        Killer::new(Arc::clone(&self.orders), self.run)
    }

    /// Gives the next program a disk of another size than the usual.
    pub(crate) async fn resize_disk(&mut self, megabytes: u32) -> Result<(), Error> {
        self.order(Action::Disk(megabytes)).await.map_err(Error::Shim)
    }

    /// Sets what the processes of the next program may use together.
    ///
    /// # Errors
    /// [`Error::TooLittleMemory`] where those who are there already leave it none; the cell is as good as before.
    pub(crate) fn limit(&mut self, limits: &Limits) -> Result<(), Error> {
        match &mut self.group {
            Some(group) => group.begin(Together::of(limits)),
            None => self.has_address_space_for(limits),
        }
    }

    /// Where nobody counts memory, a copy has to make do with the address space that its limit leaves it.
    fn has_address_space_for(&self, limits: &Limits) -> Result<(), Error> {
        let (Some(most_bytes), true) = (limits.memory_bytes, self.forks) else {
            return Ok(());
        };
        let held_bytes = self.child.id().map_or(0, address_space_bytes);
        if held_bytes < most_bytes {
            Ok(())
        } else {
            Err(Error::TooLittleMemory { most_bytes, held_bytes })
        }
    }

    /// Runs one program to its end. The message is what the launcher or the runner takes.
    pub(crate) async fn run(mut self, message: &[u8], given: Given, mut streams: Streams, killer: &Killer) -> Ran {
        let status = {
            let ending = async {
                messages::send(&mut self.launcher, message, &given.files()).await?;
                drop(given);
                messages::receive::<Status>(&mut self.launcher).await
            };
            read_until(&mut streams, async {
                tokio::select! {
                    status = ending => status,
                    () = killer.overdue() => Err(io::ErrorKind::TimedOut.into()),
                }
            })
            .await
        };
        // Before its group may be gone.
        let out_of_memory = self.group.as_ref().is_some_and(Group::was_out_of_memory);
        let cleaned = match &status {
            Ok(_) => self.order(Action::Clean).await,
            Err(error) => Err(error.kind().into()),
        };
        self.run = self.run.wrapping_add(1);
        let cell = match cleaned {
            Ok(()) => Some(self),
            Err(error) => {
                tracing::warn!(%error, "a cell could not be cleaned and is given up");
                // Also then what the program started is dead when its end is told.
                self.destroy().await;
                None
            }
        };
        let written = streams.finish().await;
        let finished = Finished::of(status, written, out_of_memory);
        Ran { finished, cell }
    }

    async fn order(&mut self, action: Action) -> io::Result<()> {
        let order = Order { run: self.run, action };
        let answered = async {
            self.keeper.write_all(&order.to_bytes()).await?;
            self.keeper.read_u8().await
        };
        match timeout(CLEANING, answered).await {
            Ok(Ok(DONE)) => Ok(()),
            Ok(Ok(_)) => Err(io::Error::other("the keeper could not do it")),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Ends every process of the cell. The kernel kills a namespace with its first process, the keeper, which is dead when
    /// all others are.
    pub(crate) async fn destroy(mut self) {
        self.dismiss();
        let _ = self.child.start_kill();
        let keeper = self.keeper_process.take();
        let dead = async {
            if let Some(keeper) = keeper {
                // It may not come to read the end of its socket. If it has, nobody is there to be killed.
                let _ = pidfd_send_signal(&keeper, Signal::KILL);
                end_of(keeper).await?;
            }
            self.child.wait().await
        };
        if !matches!(timeout(DESTROYING, dead).await, Ok(Ok(_))) {
            tracing::error!("the processes of a cell do not die");
        }
        if let Some(group) = self.group.take() {
            let _ = tokio::task::spawn_blocking(move || group.remove()).await;
        }
    }

    /// The keeper ends. Closing would not do: whoever may kill a program holds the socket, too.
    fn dismiss(&self) {
        let _ = self.orders.shutdown(std::net::Shutdown::Both);
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.dismiss();
    }
}

/// By `proc_pid_status(5)`, which is in units of 1,024 bytes. 0 of a process that is gone.
fn address_space_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kilobytes = size.and_then(|size| size.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The file of a process can be read from when that has ended.
fn has_ended(process: &OwnedFd) -> bool {
    let mut sources = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut sources, PollTimeout::ZERO) != Ok(0)
}

#[expect(unsafe_code, reason = "tokio has it from whoever owns the file that it stays open")]
async fn end_of(process: OwnedFd) -> io::Result<()> {
    // SAFETY: an `OwnedFd` is the same open file until it is dropped, and it is given away here.
    let process = unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) }?;
    process.readable().await.map(drop)
}

/// Reads what the program writes until it has ended.
pub(crate) async fn read_until<T>(streams: &mut Streams, ending: impl Future<Output = T>) -> T {
    tokio::pin!(ending);
    tokio::select! {
        ended = &mut ending => return ended,
        () = streams.read() => {}
    }
    // It may have closed its streams long before its end.
    ending.await
}
