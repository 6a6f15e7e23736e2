//! Control groups: what all processes of a run may use together, told and kept by the kernel.
//!
//! ```text
//!   Groups::find     where this process may make groups: version 1, or 2 where it is alone in a group that is its own
//!   Groups::make     a group for a cell or a run ──► admit its first process ──► begin, ended: for each program
//! ```
//!
//! Sources: `Documentation/admin-guide/cgroup-v1/{memory,pids}.rst` and `cgroup-v2.rst` of the kernel. Where no group can be
//! made, which is so for ordinary users and in most containers, each process has limits of its own instead.

mod v1;
mod v2;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use crate::Limits;

/// Begins the names of groups; the number of the process that made one follows.
const PREFIX: &str = "orchestratum-";

/// Processes of the sandbox itself that a group holds at most beside those of the program.
const OWN_PROCESSES: u64 = 2;

/// How often, and how far apart, a group is tried to be removed in which killed processes are dying.
const REMOVALS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(2);

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

/// Where groups are made.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Of the controllers, in the order memory, processes and, where it is there, processor. In version 2 it is one.
    parents: Vec<PathBuf>,
    version: Version,
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
        let groups = Arc::new(Self { parents, version });
        groups.remove_those_of_the_dead();
        // Who may not make one finds out now.
        groups.make().map_err(|error| error.to_string())?;
        Ok(groups)
    }

    pub(crate) fn make(self: &Arc<Self>) -> io::Result<Group> {
        // A process may have several sandboxes.
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let group = Group {
            folders: self.parents.iter().map(|parent| parent.join(&name)).collect(),
            version: self.version,
            together: None,
            kills_before: 0,
        };
        group.folders.iter().try_for_each(fs::create_dir)?;
        Ok(group)
    }

    /// A killed worker leaves its groups, empty: its programs have died with it.
    fn remove_those_of_the_dead(&self) {
        for entry in self.parents.iter().flat_map(fs::read_dir).flatten().flatten() {
            let name = entry.file_name();
            let maker = name
                .to_str()
                .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
            if maker.is_some_and(|process| process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists())
            {
                // Refused while someone is in it.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// A group, which is removed with this. Its processes are dead by then, or have just been killed.
#[derive(Debug)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
    version: Version,
    /// What the kernel was told last.
    together: Option<Together>,
    /// How many processes had been killed for want of memory when the program began.
    kills_before: u64,
}

impl Group {
    /// Takes a process in; what it starts from now on is in the group, too.
    pub(crate) fn admit(&self, process: u32) -> io::Result<()> {
        let admit = |folder: &PathBuf| fs::write(folder.join("cgroup.procs"), process.to_string());
        self.folders.iter().try_for_each(admit)
    }

    /// Sets the limits of the next program.
    pub(crate) fn begin(&mut self, together: Together) -> io::Result<()> {
        // Most programs have those of the one before them.
        if self.together.take() != Some(together) {
            self.limit(together)?;
        }
        self.together = Some(together);
        self.kills_before = if self.limits_memory() { self.kills() } else { 0 };
        Ok(())
    }

    fn limit(&self, together: Together) -> io::Result<()> {
        let processes = together.processes.map(|most| most.saturating_add(OWN_PROCESSES));
        match self.version {
            Version::One => v1::limit_memory(self.memory(), together.memory_bytes)?,
            Version::Two => v2::limit_memory(self.memory(), together.memory_bytes)?,
        }
        let most = processes.map_or("max".to_owned(), |most| most.to_string());
        fs::write(self.processes().join("pids.max"), most)
    }

    fn limits_memory(&self) -> bool {
        self.together.is_some_and(|together| together.memory_bytes.is_some())
    }

    /// Whether a process of the program was killed because all of them together had too much memory.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        // Without a limit of its own it was the machine that had none left.
        self.limits_memory() && self.kills() > self.kills_before
    }

    fn kills(&self) -> u64 {
        let name = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let events = fs::read_to_string(self.memory().join(name)).unwrap_or_default();
        events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .unwrap_or(0)
    }

    fn memory(&self) -> &Path {
        &self.folders[0]
    }

    fn processes(&self) -> &Path {
        match self.version {
            Version::One => &self.folders[1],
            Version::Two => &self.folders[0],
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            let removed = (0..REMOVALS).any(|_| {
                let removed = fs::remove_dir(folder);
                // Somebody is dying in it yet.
                let again = removed
                    .as_ref()
                    .is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy);
                if again {
                    thread::sleep(PAUSE);
                }
                !again
            });
            if !removed {
                tracing::warn!(folder = %folder.display(), "a control group is left for the next start to remove");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIBIBYTE: u64 = 1 << 30;

    fn read(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).unwrap_or_default()
    }

    /// What the kernel would do with the files of version 2, whose controllers are on few machines that test this.
    #[test]
    fn version_two_is_asked_for_the_limits_by_their_names_there() {
        let mounts = tempfile::tempdir().expect("a folder");
        let own = mounts.path().join("system.slice/worker.service");
        fs::create_dir_all(&own).expect("made");
        let process = std::process::id().to_string();
        fs::write(own.join("cgroup.controllers"), "cpu memory pids\n").expect("written");
        fs::write(own.join("cgroup.procs"), &process).expect("written");
        let groups = Groups::find_in(mounts.path(), "0::/system.slice/worker.service\n").expect("they can be made");
        assert_eq!(read(&own, "cgroup.subtree_control"), "+memory +pids +cpu");
        assert_eq!(read(&own.join("orchestratum-worker"), "cgroup.procs"), process);

        let mut group = groups.make().expect("made");
        let folder = group.folders[0].clone();
        fs::write(folder.join("memory.events"), "oom 3\noom_kill 2\n").expect("written");
        group.admit(7).expect("admitted");
        let together = Together {
            memory_bytes: Some(GIBIBYTE),
            processes: Some(10),
        };
        group.begin(together).expect("limited");
        assert_eq!(read(&folder, "cgroup.procs"), "7");
        assert_eq!(read(&folder, "memory.max"), GIBIBYTE.to_string());
        assert_eq!(read(&folder, "memory.swap.max"), "0");
        assert_eq!(read(&folder, "pids.max"), "12");
        assert!(!group.was_out_of_memory(), "the kills of earlier programs are theirs");
        fs::write(folder.join("memory.events"), "oom 4\noom_kill 3\n").expect("written");
        assert!(group.was_out_of_memory());
        group.begin(Together::default()).expect("unlimited");
        assert_eq!(
            (read(&folder, "memory.max"), read(&folder, "pids.max")),
            ("max".into(), "max".into())
        );
    }

    #[test]
    fn a_group_that_is_shared_with_others_is_left_as_it_is() {
        let mounts = tempfile::tempdir().expect("a folder");
        fs::write(mounts.path().join("cgroup.controllers"), "memory pids\n").expect("written");
        fs::write(mounts.path().join("cgroup.procs"), "1\n2\n").expect("written");
        let refused = Groups::find_in(mounts.path(), "0::/\n").expect_err("others are there");
        assert!(refused.contains("other processes"), "{refused}");
        assert!(!mounts.path().join("orchestratum-worker").exists());
    }
}
