//! A cell: walls that stand for many programs, one after the other.
//!
//! ```text
//!   caller                      launcher (or a runner)               keeper, process 1 of the namespace
//!   Cell::open ── Opening ────► own user, namespaces, root ─ fork ─► /proc, disk
//!                               capabilities, Landlock, seccomp
//!   Cell::run ─── Launch ─────► fork, limits, execve ──► program (a process of the namespace)
//!        ─── Order ────────────────────────────────────────────────► TERM, KILL to everyone in the namespace
//!   Running::wait ◄─ Status ─── the program ended
//!        ─── Order::Clean ─────────────────────────────────────────► KILL, reap, a new disk
//! ```
//!
//! Programs see only each other: the launcher is outside the namespace of their processes, and the keeper, in it as process
//! 1, is closed to them. Making namespaces costs milliseconds, and starting an interpreter many; both are paid once. What
//! a program could leave to the next one is: a process (all are killed, the keeper counts them), a file (the disk is a new
//! one), shared memory and queues of System V (refused), a change of the launcher (it is outside, and the program a copy).
//!
//! When the caller dies, the keeper reads the end of its socket and ends; then the kernel kills everyone in the namespace.

mod keeper;
mod launcher;

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{children, launch, messages};
use crate::protocol::{DONE, Opened, Opening};
use crate::walls::shown::Link;
use crate::walls::{self, namespaces, root};

/// Standard input is the socket of the launcher, standard output that of the keeper.
pub(super) fn run() -> io::Result<()> {
    let Some((opening, _)) = messages::receive::<Opening>(&mut launcher_socket()?)? else {
        return Ok(());
    };
    let Err(error) = open(&opening);
    let reason = error.to_string();
    messages::send(&mut launcher_socket()?, &Opened::Refused { reason })
}

/// A second handle of it. None is open when the keeper starts, which would hold it open for ever.
fn launcher_socket() -> io::Result<UnixStream> {
    Ok(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Builds the walls and serves behind them. Returns only what went wrong.
fn open(opening: &Opening) -> io::Result<Infallible> {
    let confinement = &opening.confinement;
    nix::unistd::setsid()?;
    launch::dump_no_core()?;
    // While /proc is the machine's; everyone here inherits it, and the program is the largest of them.
    super::be_first_to_go();
    // Paths are looked up while the machine's are there.
    let readable = root::readable(confinement.network, &confinement.readable);
    let build_root = || root::build(&readable).map_err(|error| about("a root of its own", &error));
    let separate = || namespaces::separate(confinement).map_err(|error| about("namespaces", &error));
    let links = if namespaces::separate_mounts_as_root() {
        // While it is root, as only root may enter some folders that programs may read, such as an interpreter in /root.
        let links = build_root()?;
        namespaces::leave_root()?;
        separate()?;
        links
    } else {
        separate()?;
        build_root()?
    };
    start_keeper(&links)?;
    rustix::stdio::dup2_stdout(std::fs::File::open("/dev/null")?)?;
    nix::unistd::chdir("/")?;
    walls::confine(confinement, &["/".into()], &[Path::new(root::RUN)])?;
    match &opening.runner {
        None => launcher::serve(&mut launcher_socket()?),
        Some(runner) => {
            // Its programs have it from here: they are copies of it.
            launch::limit_open_files_softly(opening.open_files)?;
            Err(Command::new(&runner.program)
                .args(&runner.arguments)
                .env_clear()
                .envs(runner.environment.iter().map(|(name, value)| (name, value)))
                .exec())
        }
    }
}

/// Starts process 1 of the namespace, and waits until it has made what programs need.
fn start_keeper(links: &[Link]) -> io::Result<()> {
    let (mut reader, mut writer) = io::pipe()?;
    // The parent's writing end goes with the closure.
    children::start(move || {
        let kept = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
        // The launcher's socket is not for the keeper: its end would not be seen while the keeper holds it.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        if let Err(error) = keeper::prepare(links).map_err(|error| about("processes of its own", &error)) {
            writer.write_all(error.to_string().as_bytes())?;
            return Err(error);
        }
        // By it the caller knows which process this is.
        (&kept).write_all(&[DONE])?;
        writer.write_all(READY)?;
        drop(writer);
        keeper::keep(&kept, links)
    })?;
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer)?;
    if answer == READY {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()))
}

const READY: &[u8] = b"ready";

fn about(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
