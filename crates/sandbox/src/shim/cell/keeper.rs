//! Process 1 of a cell: it ends what runs there, and gives each program a disk of its own.

use std::convert::Infallible;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, sethostname};

use crate::Limits;
use crate::protocol::{Action, DONE, FAILED, Order};
use crate::shim::machine_clock::{self, now_milliseconds};
use crate::shim::{launch, messages};
use crate::walls::root::{own_processes, small_disk};
use crate::walls::shown::Link;

const DISK: &str = "/run/task";

/// Everyone else in the namespace.
const EVERYONE: Pid = Pid::from_raw(-1);

/// How soon is looked again for processes that are to be ended and are not there yet, or still there.
const SOON_MILLISECONDS: i64 = 2;

/// How long the processes of a cell may take to die, in milliseconds: less than the caller waits.
const PATIENCE: u32 = 500;

/// Before the first program.
pub(super) fn prepare(links: &[Link]) -> io::Result<()> {
    // What runs here has the same user; the capabilities alone would close this process to it, too.
    nix::sys::prctl::set_dumpable(false)?;
    sethostname("task")?;
    own_processes()?;
    make_disk(links)
}

/// Obeys until the caller is gone, which ends everyone here.
pub(super) fn keep(socket: &UnixStream, links: &[Link]) -> io::Result<Infallible> {
    let mut keeper = Keeper::default();
    loop {
        keeper.pursue();
        let mut sources = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut sources, keeper.patience()) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => match messages::order(socket) {
                Ok(order) => keeper.obey(order, socket, links)?,
                // The caller is gone, which is no trouble: standard error is for those who have some.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => std::process::exit(0),
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error.into()),
        }
        reap();
    }
}

#[derive(Debug, Default)]
struct Keeper {
    run: u32,
    /// A signal that has not met anyone yet, or is repeated until nobody is left: an order may overtake the start of the
    /// program it is for.
    pursuing: Option<Signal>,
    /// On the clock of this machine, which nobody sets.
    dies_at_milliseconds: Option<i64>,
}

impl Keeper {
    fn obey(&mut self, order: Order, mut socket: &UnixStream, links: &[Link]) -> io::Result<()> {
        // Meant for a run that is over.
        if order.run != self.run {
            return Ok(());
        }
        match order.action {
            // Who is to be killed is not asked any more.
            Action::Terminate if self.pursuing.is_some() => {}
            Action::Terminate => self.pursuing = Some(Signal::SIGTERM),
            Action::Kill => self.pursuing = Some(Signal::SIGKILL),
            Action::Live(milliseconds) => {
                self.dies_at_milliseconds = Some(now_milliseconds() + i64::from(milliseconds));
            }
            Action::Clean => {
                let cleaned = clean(links);
                *self = Self {
                    run: self.run.wrapping_add(1),
                    ..Self::default()
                };
                answer(socket, &cleaned)?;
            }
            Action::Disk(megabytes) => answer(socket, &resize_disk(megabytes))?,
        }
        socket.flush()
    }

    fn pursue(&mut self) {
        let Some(signal) = self.pursuing else { return };
        let met = kill(EVERYONE, signal) != Err(Errno::ESRCH);
        if met && signal == Signal::SIGTERM {
            // Once: a program that handles it must not be asked again and again.
            self.pursuing = None;
        }
    }

    fn patience(&mut self) -> PollTimeout {
        if self.pursuing.is_none()
            && self
                .dies_at_milliseconds
                .is_some_and(|dies_at| dies_at <= now_milliseconds())
        {
            self.pursuing = Some(Signal::SIGKILL);
            return PollTimeout::ZERO;
        }
        let soon = self.pursuing.map(|_| now_milliseconds() + SOON_MILLISECONDS);
        machine_clock::patience(soon.or(self.dies_at_milliseconds))
    }
}

fn answer(mut socket: &UnixStream, done: &io::Result<()>) -> io::Result<()> {
    socket.write_all(&[if done.is_ok() { DONE } else { FAILED }])
}

/// Leaves nobody and nothing of a run.
fn clean(links: &[Link]) -> io::Result<()> {
    for _ in 0..PATIENCE {
        // The kernel counts those that are dead and not reaped, too. One call misses nobody: who is about to fork has the
        // signal before the child.
        if kill(EVERYONE, Signal::SIGKILL) == Err(Errno::ESRCH) {
            umount2(DISK, MntFlags::MNT_DETACH)?;
            return make_disk(links);
        }
        reap();
        if kill(EVERYONE, None) != Err(Errno::ESRCH) {
            thread::sleep(Duration::from_millis(1));
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Whoever lost its parent is a child of process 1.
fn reap() {
    while let Ok(status) = waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// With links to what is shown of the machine's folders for temporary files.
fn make_disk(links: &[Link]) -> io::Result<()> {
    small_disk(
        Path::new(DISK),
        &format!(
            "size={}m,nr_inodes={},mode=700",
            Limits::USUAL_DISK_MEGABYTES,
            Limits::DISK_FILES
        ),
    )?;
    launch::make_folders(Path::new(DISK))?;
    links
        .iter()
        .try_for_each(|link| link.make_in(&Path::new(DISK).join("tmp")))
}

fn resize_disk(megabytes: u32) -> io::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    // 0 stands for one without an end (`tmpfs(5)`).
    let options = format!("size={}m", megabytes.max(1));
    Ok(mount(None::<&str>, DISK, None::<&str>, flags, Some(options.as_str()))?)
}
