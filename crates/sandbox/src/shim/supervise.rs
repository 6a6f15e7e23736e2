//! Starting the program, obeying the caller, and leaving nobody behind.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::metadata::{self, Metadata};
use super::{launch, machine_clock, messages, processes};
use crate::protocol::{Action, SingleRun, Status};
use crate::walls::{self, root};
use crate::{Confinement, Exit, Isolation};

/// Runs the program to its end. When it returns, no process of the run is alive.
pub(super) fn supervise(run: &SingleRun, files: Vec<OwnedFd>, socket: &UnixStream) -> Status {
    match start(run, files) {
        Ok(Started {
            program,
            signals,
            metadata,
        }) => {
            let exit = watch(program, socket, &signals, metadata.as_ref());
            let exit = exit.or(kill_everyone(program));
            Status::Ended {
                exit: exit.unwrap_or(Exit::KILLED),
                peak_memory_bytes: peak_memory_bytes(),
            }
        }
        Err(error) => Status::NotStarted {
            reason: error.to_string(),
        },
    }
}

struct Started {
    program: Pid,
    signals: SignalFd,
    /// Where it asks for changes of files, if it does.
    metadata: Option<Metadata>,
}

fn start(run: &SingleRun, files: Vec<OwnedFd>) -> io::Result<Started> {
    let signals = prepare()?;
    let folder = &run.launch.folder;
    let (mut ours, theirs) = UnixStream::pair()?;
    // Only around the program: who looks after it has to see the processes of the machine.
    let program = launch::start(&run.launch, files, move || confine(&run.confinement, folder, &theirs))?;
    let metadata = Metadata::receive(&mut ours, folder);
    if metadata.is_err() {
        kill_everyone(program);
    }
    Ok(Started {
        program,
        signals,
        metadata: metadata?,
    })
}

/// Makes this process the head of everything that will be started.
fn prepare() -> io::Result<SignalFd> {
    // Signals for the worker's group or terminal are not for us: the worker decides when a run ends.
    nix::unistd::setsid()?;
    nix::sys::prctl::set_child_subreaper(true)?;
    SigSet::all().thread_block()?;
    let mut ended_child = SigSet::empty();
    ended_child.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&ended_child, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    Ok(signals)
}

fn confine(confinement: &Confinement, folder: &Path, keeper: &UnixStream) -> io::Result<()> {
    if confinement.isolation == Isolation::Off {
        return Ok(());
    }
    let mut readable = root::readable(confinement.network, &confinement.readable);
    // What the kernel says of the program itself, and of no other: without it some runtimes do not find their own stack.
    readable.push("/proc/self".into());
    match walls::confine(confinement, &readable, &[folder])? {
        Some(listener) => metadata::hand_over(&listener, keeper),
        None => Ok(()),
    }
}

/// Returns how the program ended, or `None` when the caller wants everyone dead.
fn watch(program: Pid, socket: &UnixStream, signals: &SignalFd, metadata: Option<&Metadata>) -> Option<Exit> {
    let mut dies_at: Option<i64> = None;
    loop {
        // Before the first wait too: the program may have ended when nobody listened for it yet.
        while let Ok(Some(_)) = signals.read_signal() {}
        let reaped = reap(program);
        if reaped.exit.is_some() {
            return reaped.exit;
        }
        // Before each wait: a program may ask for changes all the time.
        if dies_at.is_some_and(|dies_at| dies_at <= machine_clock::now_milliseconds()) {
            return None;
        }
        let sources = [
            Some(socket.as_fd()),
            Some(signals.as_fd()),
            metadata.map(Metadata::listener),
        ];
        let sources = sources.into_iter().flatten();
        let mut sources: Vec<PollFd<'_>> = sources.map(|source| PollFd::new(source, PollFlags::POLLIN)).collect();
        match poll(&mut sources, machine_clock::patience(dies_at)) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(_) => return None,
        }
        // Not at its end, when there is nothing to be read: nobody is left who could ask.
        let asks = |source: &PollFd<'_>| source.revents().is_some_and(|seen| seen.contains(PollFlags::POLLIN));
        if let Some(metadata) = metadata.filter(|_| sources.get(2).is_some_and(asks)) {
            metadata.answer();
        }
        if sources[0].any().unwrap_or(true) {
            // The caller is dead, or speaks another language.
            let order = messages::order(socket).ok()?;
            match order.action {
                Action::Terminate => processes::signal_descendants(Signal::SIGTERM),
                Action::Live(milliseconds) => {
                    dies_at = Some(machine_clock::now_milliseconds() + i64::from(milliseconds));
                }
                Action::Kill | Action::Clean | Action::Disk(_) => return None,
            }
        }
    }
}

/// Kills and reaps until there is no child: every process whose parent dies becomes a child of this one, so then
/// nobody is left. Returns how the program ended, if it ended here.
fn kill_everyone(program: Pid) -> Option<Exit> {
    let mut exit = None;
    loop {
        let reaped = reap(program);
        exit = exit.or(reaped.exit);
        if !reaped.anyone_left {
            return exit;
        }
        processes::signal_descendants(Signal::SIGKILL);
        let status = waitpid(None::<Pid>, None);
        exit = exit.or(status.ok().and_then(|status| exit_of(program, status)));
    }
}

struct Reaped {
    /// How the program ended, if it was among those reaped.
    exit: Option<Exit>,
    anyone_left: bool,
}

/// Reaps every child that has ended.
fn reap(program: Pid) -> Reaped {
    let mut exit = None;
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {
                return Reaped {
                    exit,
                    anyone_left: true,
                };
            }
            Ok(status) => exit = exit.or(exit_of(program, status)),
            Err(Errno::EINTR) => {}
            Err(_) => {
                return Reaped {
                    exit,
                    anyone_left: false,
                };
            }
        }
    }
}

fn exit_of(program: Pid, status: WaitStatus) -> Option<Exit> {
    match status {
        WaitStatus::Exited(pid, code) if pid == program => Some(Exit::Code(code)),
        WaitStatus::Signaled(pid, signal, _) if pid == program => Some(Exit::Signal(signal as i32)),
        _ => None,
    }
}

fn peak_memory_bytes() -> Option<u64> {
    let kilobytes = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?.max_rss();
    u64::try_from(kilobytes).ok().map(|kilobytes| kilobytes * 1024)
}
