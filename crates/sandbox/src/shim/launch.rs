//! Starting one program: what happens between `fork` and `execve`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use rustix::fs::{MemfdFlags, memfd_create};

use super::children;
use crate::progress::PROGRESS_DESCRIPTOR;
use crate::protocol::{Argument, Launch};

/// The folders every program has within its own.
pub(super) const FOLDERS: [&str; 3] = ["home", "tmp", "shm"];

/// Makes the folders of a program, which nobody else may enter.
pub(crate) fn make_folders(folder: &Path) -> io::Result<()> {
    let mut private = DirBuilder::new();
    private.mode(0o700);
    FOLDERS.iter().try_for_each(|name| private.create(folder.join(name)))
}

/// Starts the program, which has its files and no others, behind walls that are built around it alone.
pub(super) fn start(
    launch: &Launch,
    mut files: Vec<OwnedFd>,
    confine: impl FnOnce() -> io::Result<()>,
) -> io::Result<Pid> {
    let progress = if files.len() > 4 { files.pop() } else { None };
    let [stdin, stdout, stderr, result] =
        <[OwnedFd; 4]>::try_from(files).map_err(|_| io::Error::other("four or five open files belong to a program"))?;
    for (name, content) in &launch.files {
        let path = launch.folder.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(content.as_bytes())?;
    }
    let mut command = Command::new(&launch.program);
    command
        .args(launch.arguments.iter().map(|argument| match argument {
            Argument::Text(text) => text.clone(),
            Argument::File(name) => launch.folder.join(name).to_string_lossy().into_owned(),
            Argument::Result => result.as_raw_fd().to_string(),
        }))
        .env_clear()
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .env("HOME", launch.folder.join("home"))
        .env("TMPDIR", launch.folder.join("tmp"))
        .current_dir(launch.folder.join("home"));
    // The program's own error of `execve` has to come back: standard error is the program's.
    let (reader, writer) = io::pipe()?;
    let pid = children::start(|| {
        let prepared = prepare(launch, &result)
            .and_then(|()| progress.as_ref().map_or(Ok(()), hand_over_progress))
            .and_then(|()| confine());
        let error = match prepared {
            Ok(()) => become_program(command, [stdin, stdout, stderr]),
            Err(error) => error,
        };
        (&writer).write_all(error.to_string().as_bytes())?;
        Err(error)
    })?;
    drop(writer);
    let failure = io::read_to_string(reader)?;
    if failure.is_empty() {
        return Ok(pid);
    }
    let _ = nix::sys::wait::waitpid(pid, None);
    Err(io::Error::other(format!("{}: {failure}", launch.program.display())))
}

/// In the child.
fn prepare(launch: &Launch, result: &OwnedFd) -> io::Result<()> {
    nix::unistd::setsid()?;
    super::be_first_to_go();
    limit(launch)?;
    // A program inherits what is blocked.
    SigSet::empty().thread_set_mask()?;
    fcntl(result, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// Gives the file the number under which the program expects it.
fn hand_over_progress(file: &OwnedFd) -> io::Result<()> {
    // Until now nothing else could have it.
    nix::unistd::close(PROGRESS_DESCRIPTOR)?;
    // The lowest that is free, from there on.
    if fcntl(file, FcntlArg::F_DUPFD(PROGRESS_DESCRIPTOR))? == PROGRESS_DESCRIPTOR {
        Ok(())
    } else {
        Err(io::Error::other("the number of the progress is taken"))
    }
}

/// Keeps the number of the progress from every other file that is opened in this process.
pub(super) fn reserve_progress() -> io::Result<()> {
    // Nothing of the machine, which it would keep in sight of whoever has it.
    let reserved = memfd_create("reserved", MemfdFlags::CLOEXEC)?.into_raw_fd();
    if reserved == PROGRESS_DESCRIPTOR {
        Ok(())
    } else {
        Err(io::Error::other("files are open that should not be"))
    }
}

fn become_program(mut command: Command, [stdin, stdout, stderr]: [OwnedFd; 3]) -> io::Error {
    command
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .exec()
}

fn limit(launch: &Launch) -> io::Result<()> {
    let limits = &launch.limits;
    // Both the soft and the hard limit: the program cannot raise them again.
    let limit = |resource, value: Option<u64>| match value {
        Some(value) => {
            // The caller itself may have less.
            let value = value.min(getrlimit(resource)?.1);
            setrlimit(resource, value, value)
        }
        None => Ok(()),
    };
    dump_no_core()?;
    if let Some(seconds) = limits.cpu_seconds {
        let (_, most) = getrlimit(Resource::RLIMIT_CPU)?;
        // The soft limit first, so that the program ends by a signal that says why.
        setrlimit(
            Resource::RLIMIT_CPU,
            seconds.min(most),
            seconds.saturating_add(1).min(most),
        )?;
    }
    limit(Resource::RLIMIT_FSIZE, limits.file_size_bytes)?;
    limit_open_files_softly(launch.open_files)?;
    limit(Resource::RLIMIT_NOFILE, limits.open_files)?;
    limit(Resource::RLIMIT_NPROC, limits.processes)?;
    limit(Resource::RLIMIT_AS, limits.address_space_bytes)?;
    Ok(())
}

/// A limit that is not ours: the program may raise it as far as the caller might.
pub(super) fn limit_open_files_softly(most: Option<u64>) -> io::Result<()> {
    if let Some(soft) = most {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)?;
    }
    Ok(())
}

/// By a limit of 1, which is less than any core has. With 0 a kernel that gives cores to a program of the machine
/// (`core_pattern` with a `|`, see `core(5)`) still starts that, as root and outside of all walls; with 1 it does not.
pub(super) fn dump_no_core() -> io::Result<()> {
    let limit = |most| setrlimit(Resource::RLIMIT_CORE, most, most);
    // Who was started with 0, and is not root, may not raise it.
    Ok(limit(1).or_else(|_| limit(0))?)
}
