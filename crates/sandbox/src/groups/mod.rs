//! Control groups: what all processes of a run may use together, told and kept by the kernel.
//!
//! ```text
//!   Groups::find     where this process may make groups: version 1, or 2 where it is alone in a group that is its own
//!   Groups::make     a group for a cell or a run ──► a process enters ──► begin, ended: for each program
//! ```
//!
//! Sources: `Documentation/admin-guide/cgroup-v1/{memory,pids}.rst` and `cgroup-v2.rst` of the kernel. Where no group can be
//! made, which is so for ordinary users and in most containers, each process has limits of its own instead.

mod removal;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io, mem};

use self::removal::Remover;
use crate::protocol::OWN_PROCESSES;
use crate::{Error, Limits};

/// Begins the names of groups; the number of the process that made one follows, and when that was started.
const PREFIX: &str = "orchestratum-";

/// What a program needs to be started at all, beside what its group holds before: a process, and what that writes to.
const START_BYTES: u64 = 1 << 20;

/// How much more than before its first program a group may hold when everyone is dead: the kernel frees some things late.
const LEFT_BYTES: u64 = 16 << 20;

/// What the processes of one program may use together. `None`: as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Together {
    pub(crate) memory_bytes: Option<u64>,
    /// With threads.
    pub(crate) processes: Option<u64>,
}

impl Together {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            processes: limits.processes,
        }
    }
}

/// Brings this process, which has one thread, into groups by their [entrances](Group::entrances).
pub(crate) fn enter(entrances: impl Iterator<Item = OsString>) -> io::Result<()> {
    for entrance in entrances {
        // To the kernel it is the number of whoever writes.
        fs::write(entrance, "0")?;
    }
    Ok(())
}

/// Where groups are made.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Begins the names of those that this process makes.
    prefix: String,
    /// Of the controllers, in the order memory, processes and, where it is there, processor. In version 2 it is one.
    parents: Vec<PathBuf>,
    version: Version,
    remover: Remover,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Groups {
    /// # Errors
    /// Why no groups can be made here.
    pub(crate) fn find() -> Result<Arc<Self>, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        Self::find_in(Path::new("/sys/fs/cgroup"), &own)
    }

    fn find_in(mounts: &Path, own: &str) -> Result<Arc<Self>, String> {
        let found = v1::parents(mounts, own).map(|parents| (parents, Version::One));
        let (parents, version) = found.or_else(|of_one| {
            let of_two = v2::parent(mounts, own).map(|parent| (vec![parent], Version::Two));
            of_two.map_err(|of_two| format!("version 1: {of_one}; version 2: {of_two}"))
        })?;
        let groups = Arc::new(Self {
            prefix: own_prefix().ok_or("/proc does not say when this process was started")?,
            parents,
            version,
            remover: Remover::start().map_err(|error| error.to_string())?,
        });
        groups.remove_those_of_the_dead();
        // Who may not make one finds out now.
        groups.make().map_err(|error| error.to_string())?;
        Ok(groups)
    }

    pub(crate) fn make(self: &Arc<Self>) -> io::Result<Group> {
        // A process may have several sandboxes.
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{number}", self.prefix);
        let group = Group {
            folders: self.parents.iter().map(|parent| parent.join(&name)).collect(),
            groups: Arc::clone(self),
            at_first_bytes: 0,
            together: None,
            before: Shortage::default(),
        };
        group.folders.iter().try_for_each(fs::create_dir)?;
        Ok(group)
    }

    /// A killed worker leaves its groups, empty: its programs have died with it.
    fn remove_those_of_the_dead(&self) {
        for entry in self.parents.iter().flat_map(fs::read_dir).flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_of_the_dead) {
                // Refused while someone is in it.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

fn own_prefix() -> Option<String> {
    let own = std::process::id();
    Some(format!("{PREFIX}{own}-{}-", started(own)?))
}

/// Whether the maker of a group of this name is gone. The number alone would not tell: in a container the next worker has
/// that of the one before it.
fn is_of_the_dead(name: &str) -> bool {
    let maker = name.strip_prefix(PREFIX).and_then(|name| {
        let mut parts = name.split('-');
        let process: u32 = parts.next()?.parse().ok()?;
        let start: u64 = parts.next()?.parse().ok()?;
        Some((process, start))
    });
    maker.is_some_and(|(process, start)| started(process) != Some(start))
}

/// When a process was started, in the ticks of the machine since its own start; `None` where there is no such process.
fn started(process: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The 22nd field (`proc_pid_stat(5)`). The second is the name in brackets, which may have brackets itself.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// A group, which is removed with this, and whoever is left in it is killed.
#[derive(Debug)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
    groups: Arc<Groups>,
    /// What was held before the first program.
    at_first_bytes: u64,
    /// What the kernel was told last.
    together: Option<Together>,
    /// As the program began.
    before: Shortage,
}

/// What the kernel has counted of a group's want of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Shortage {
    /// Processes that it killed for want of memory: the group's, or the machine's.
    kills: u64,
    /// How often the group itself had no more than it may. Version 2 alone counts it.
    own: u64,
}

impl Group {
    /// Files that take a thread in whose number is written to them. What it starts from then on is in the group, too.
    pub(crate) fn entrances(&self) -> impl Iterator<Item = PathBuf> {
        let name = match self.groups.version {
            // Of one thread: the kernel waits for all processors before it moves a whole process, some 5 ms.
            Version::One => "tasks",
            Version::Two => "cgroup.procs",
        };
        self.folders.iter().map(move |folder| folder.join(name))
    }

    /// Sets the limits of the next program.
    ///
    /// # Errors
    /// [`Error::TooLittleMemory`] where those who are there already leave it none.
    pub(crate) fn begin(&mut self, together: Together) -> Result<(), Error> {
        if let Some(most) = together.memory_bytes {
            // Before each of them: what started the one before may have grown, whatever the limits are.
            self.make_room(most)?;
        }
        // Most programs have those of the one before them.
        if self.together.take() != Some(together) {
            self.limit(together)?;
        }
        self.together = Some(together);
        if together.memory_bytes.is_some() {
            if self.groups.version == Version::One {
                v1::forget_peak(self.memory());
            }
            self.before = self.shortage();
        }
        Ok(())
    }

    fn limit(&self, together: Together) -> Result<(), Error> {
        self.limit_memory(together.memory_bytes)?;
        let processes = together.processes.map(|most| most.saturating_add(OWN_PROCESSES));
        let most = processes.map_or("max".to_owned(), |most| most.to_string());
        fs::write(self.processes().join("pids.max"), most).map_err(Error::Shim)
    }

    fn limit_memory(&self, most: Option<u64>) -> Result<(), Error> {
        let limited = match self.groups.version {
            Version::One => v1::limit_memory(self.memory(), most),
            Version::Two => v2::limit_memory(self.memory(), most),
        };
        limited.map_err(|error| match (error.kind(), most) {
            (io::ErrorKind::ResourceBusy, Some(most)) => self.too_little(most),
            _ => Error::Shim(error),
        })
    }

    /// Sees to it that the group holds less than it may, with something left for the start of a program. Version 1 refuses a
    /// limit below what is held, and version 2 kills for it: either would be told as something that it is not.
    fn make_room(&self, most: u64) -> Result<(), Error> {
        let has_room = || self.held_bytes().saturating_add(START_BYTES) <= most;
        if has_room() {
            return Ok(());
        }
        // Some of it may be files that were read, which can be read again.
        match self.groups.version {
            Version::One => v1::give_back(self.memory()),
            Version::Two => v2::give_back(self.memory(), self.held_bytes()),
        }
        if has_room() { Ok(()) } else { Err(self.too_little(most)) }
    }

    /// Before the first program.
    pub(crate) fn settle(&mut self) {
        self.at_first_bytes = self.kept_bytes();
    }

    /// Whether dead programs left memory behind, such as files in memory on their way through sockets that nobody has: the
    /// next ones would have as much less.
    pub(crate) fn has_leftovers(&self) -> bool {
        let most = self.at_first_bytes.saturating_add(LEFT_BYTES);
        self.held_bytes() > most && self.kept_bytes() > most
    }

    /// Without files that were read, which can be read again.
    fn kept_bytes(&self) -> u64 {
        let statistics = fs::read_to_string(self.memory().join("memory.stat")).unwrap_or_default();
        let files = ["inactive_file", "active_file"].map(|name| count(&statistics, name));
        self.held_bytes().saturating_sub(files.iter().sum())
    }

    fn held_bytes(&self) -> u64 {
        let name = match self.groups.version {
            Version::One => "memory.usage_in_bytes",
            Version::Two => "memory.current",
        };
        number_in(&self.memory().join(name))
    }

    fn too_little(&self, most: u64) -> Error {
        Error::TooLittleMemory {
            most_bytes: most,
            held_bytes: self.held_bytes(),
        }
    }

    /// Whether a process of the program was killed because all of them together had too much memory.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        // Without a limit of its own it was the machine that had none left.
        let Some(most) = self.together.and_then(|together| together.memory_bytes) else {
            return false;
        };
        let now = self.shortage();
        // The machine's own want of memory, and that of a group around this one, kill here, too.
        now.kills > self.before.kills
            && match self.groups.version {
                Version::One => v1::had_all_of(self.memory(), most),
                Version::Two => now.own > self.before.own,
            }
    }

    fn shortage(&self) -> Shortage {
        let name = match self.groups.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let events = fs::read_to_string(self.memory().join(name)).unwrap_or_default();
        Shortage {
            kills: count(&events, "oom_kill"),
            own: count(&events, "oom"),
        }
    }

    fn memory(&self) -> &Path {
        &self.folders[0]
    }

    fn processes(&self) -> &Path {
        match self.groups.version {
            Version::One => &self.folders[1],
            Version::Two => &self.folders[0],
        }
    }

    /// Removes it at once, with whoever is in it. May take a moment: for a thread that may wait.
    pub(crate) fn remove(mut self) {
        removal::remove(&mem::take(&mut self.folders));
    }
}

/// By a thread of its own: whoever drops one may be a thread that everyone waits for.
impl Drop for Group {
    fn drop(&mut self) {
        let folders = mem::take(&mut self.folders);
        if !folders.is_empty() {
            self.groups.remover.remove(folders);
        }
    }
}

/// Of lines with a name and a number each.
fn count(lines: &str, wanted: &str) -> u64 {
    let mut counts = lines.lines().filter_map(|line| line.split_once(' '));
    let value = counts.find_map(|(name, value)| (name == wanted).then_some(value));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn number_in(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}
