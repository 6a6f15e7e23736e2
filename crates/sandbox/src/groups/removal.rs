//! The end of a group: whoever is left in it is killed, and it is removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often, and how far apart, is looked whether killed processes are dead. Those of a large tree, on a machine that has
/// other things to do, take a while.
const LOOKS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(2);

/// A thread that removes groups for those who cannot wait until their processes are dead. Dropping it waits for what it was
/// given: a worker leaves no group behind.
#[derive(Debug)]
pub(super) struct Remover {
    given: Option<Sender<Vec<PathBuf>>>,
    thread: Option<JoinHandle<()>>,
}

impl Remover {
    pub(super) fn start() -> io::Result<Self> {
        let (given, taken): (_, Receiver<Vec<PathBuf>>) = channel();
        let work = move || taken.iter().for_each(|folders| remove(&folders));
        let thread = thread::Builder::new().name("groups".to_owned()).spawn(work)?;
        Ok(Self {
            given: Some(given),
            thread: Some(thread),
        })
    }

    pub(super) fn remove(&self, folders: Vec<PathBuf>) {
        // It listens as long as this is there.
        let _ = self.given.as_ref().map(|given| given.send(folders));
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        drop(self.given.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Removes the folders of a group, which are one for each controller.
pub(super) fn remove(folders: &[PathBuf]) {
    end_everyone(folders);
    for folder in folders {
        if !(0..LOOKS).any(|_| is_removed(folder)) {
            tracing::warn!(folder = %folder.display(), "a control group is left for the next start to remove");
        }
    }
}

/// Kills until a look finds nobody.
pub(super) fn end_everyone(folders: &[PathBuf]) {
    for _ in 0..LOOKS {
        let there = processes(folders);
        if there.is_empty() {
            return;
        }
        for folder in folders {
            // Nobody is added any more: otherwise a tree that forks faster than it is killed would go on. And those that are
            // there are killed at once, where the kernel can do that (version 2, Linux 5.14).
            for (name, value) in [("pids.max", "0"), ("cgroup.kill", "1")] {
                let file = folder.join(name);
                let _ = file.exists().then(|| fs::write(file, value));
            }
        }
        let kills = there.into_iter().map(|process| kill(process, Signal::SIGKILL));
        if kills.filter(|killed| *killed != Err(Errno::ESRCH)).count() == 0 {
            return;
        }
        thread::sleep(PAUSE);
    }
    tracing::error!(?folders, "processes of a control group do not die");
}

/// Who is in a group, by any of its controllers: each has its own list in version 1. Those that are dead are on none.
fn processes(folders: &[PathBuf]) -> BTreeSet<Pid> {
    let lists = folders
        .iter()
        .map(|folder| fs::read_to_string(folder.join("cgroup.procs")));
    let numbers = lists.flatten().flat_map(|list| {
        let numbers: Vec<i32> = list.lines().filter_map(|line| line.parse().ok()).collect();
        numbers
    });
    // Who is seen from here by no number is shown as 0, which to `kill(2)` means this process and all around it.
    numbers.filter(|number| *number > 0).map(Pid::from_raw).collect()
}

/// Waits a moment where it was not possible yet.
fn is_removed(folder: &Path) -> bool {
    let removed = fs::remove_dir(folder);
    // Somebody is dying in it yet.
    let again = removed.is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy);
    if again {
        thread::sleep(PAUSE);
    }
    !again
}
