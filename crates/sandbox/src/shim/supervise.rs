//! Starting the program, obeying the caller, and leaving nobody behind.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::processes;
use crate::Exit;
use crate::protocol::{KILL, Request, Status, TERMINATE};

/// Runs the program to its end. When it returns, no process of the run is alive.
pub(super) fn supervise(request: &Request, socket: &UnixStream) -> Status {
    let started = prepare(request).and_then(|signals| Ok((start(request)?, signals)));
    match started {
        Ok((program, signals)) => {
            let exit = watch(program, socket, &signals);
            let exit = exit.or(kill_everyone(program));
            Status::Ended {
                exit: exit.unwrap_or(Exit::Signal(Signal::SIGKILL as i32)),
                peak_memory_bytes: peak_memory_bytes(),
            }
        }
        Err(error) => Status::NotStarted {
            reason: error.to_string(),
        },
    }
}

/// Makes this process the head of everything that will be started.
fn prepare(request: &Request) -> io::Result<SignalFd> {
    // Signals for the worker's group or terminal are not for us: the worker decides when a run ends.
    nix::unistd::setsid()?;
    nix::sys::prctl::set_child_subreaper(true)?;
    SigSet::all().thread_block()?;
    let mut ended_child = SigSet::empty();
    ended_child.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&ended_child, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let limits = &request.limits;
    // Both the soft and the hard limit: the program cannot raise them again.
    let limit = |resource, value: Option<u64>| match value {
        Some(value) => setrlimit(resource, value, value),
        None => Ok(()),
    };
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    if let Some(seconds) = limits.cpu_seconds {
        // The soft limit first, so that the program ends by a signal that says why.
        setrlimit(Resource::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    }
    limit(Resource::RLIMIT_FSIZE, limits.file_size_bytes)?;
    if let Some(soft) = request.open_files {
        // A limit that is not ours: the program may raise it as far as the caller might.
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)?;
    }
    limit(Resource::RLIMIT_NOFILE, limits.open_files)?;
    limit(Resource::RLIMIT_AS, limits.address_space_bytes)?;
    Ok(signals)
}

fn start(request: &Request) -> io::Result<Pid> {
    let about = |what: &std::path::Path, error: io::Error| io::Error::other(format!("{}: {error}", what.display()));
    let stdin = match &request.stdin {
        Some(path) => Stdio::from(File::open(path).map_err(|error| about(path, error))?),
        None => Stdio::null(),
    };
    let mut command = Command::new(&request.program);
    command
        .args(&request.arguments)
        .env_clear()
        .envs(request.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&request.directory)
        .stdin(stdin)
        .process_group(0);
    // A program inherits the mask. A signal that comes in between ends this shim, which the caller notices.
    SigSet::empty().thread_set_mask()?;
    let child = command.spawn();
    SigSet::all().thread_block()?;
    let child = child.map_err(|error| about(&request.program, error))?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(pid))
}

/// Returns how the program ended, or `None` when the caller wants everyone dead.
fn watch(program: Pid, socket: &UnixStream, signals: &SignalFd) -> Option<Exit> {
    loop {
        // Before the first wait too: the program may have ended when nobody listened for it yet.
        while let Ok(Some(_)) = signals.read_signal() {}
        let reaped = reap(program);
        if reaped.exit.is_some() {
            return reaped.exit;
        }
        let mut sources = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut sources, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => return None,
        }
        let from_caller = sources[0].any().unwrap_or(true);
        if from_caller && obey(socket) == Order::Kill {
            return None;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Order {
    GoOn,
    Kill,
}

fn obey(mut socket: &UnixStream) -> Order {
    let mut order = [0];
    match socket.read(&mut order) {
        Ok(1) if order[0] == TERMINATE => {
            processes::signal_descendants(Signal::SIGTERM);
            Order::GoOn
        }
        Ok(1) if order[0] == KILL => Order::Kill,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Order::GoOn,
        // The caller is dead, or speaks another language.
        Ok(_) | Err(_) => Order::Kill,
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
