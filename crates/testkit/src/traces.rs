//! What a worker has, counted by the kernel: of programs that have ended nothing may be left with it.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::process::processes_with_environment;

/// A variable of the programs that leave something, and of whatever they start. Its value is the process that asked for them,
/// so that those of others are not counted.
const MARK: &str = "LEAVES_SOMETHING_FOR";

/// Connections to the servers come and go, and each is an open file.
const CONNECTIONS: usize = 4;

/// In version 2 a worker leaves its group for this one, and its programs get others beside it.
const OWN_LEAF: &str = "/orchestratum-worker";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traces {
    pub open_files: usize,
    pub mounts: usize,
    /// Files and folders in the folder where programs have theirs.
    pub work_files: usize,
    /// Control groups.
    pub groups: usize,
    /// Processes that its programs started and that live, wherever they are now: below it, below the machine's first process,
    /// or behind walls.
    pub processes: usize,
    /// Processes that are dead and that it has not waited for.
    pub zombies: usize,
}

impl Traces {
    /// Processes are counted of those programs that this process asked for by [`task_that_leaves_something`].
    pub fn of(worker: u32, work_folder: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            open_files: count(format!("/proc/{worker}/fd"), |_| true),
            mounts: fs::read_to_string(format!("/proc/{worker}/mountinfo"))?.lines().count(),
            work_files: walk(work_folder),
            groups: groups(worker)?,
            processes: processes_with_environment(&format!("{MARK}={}", std::process::id())).len(),
            zombies: zombies(worker),
        })
    }

    /// What there is now and was not then.
    #[must_use]
    pub fn since(self, then: Self) -> Self {
        Self {
            open_files: self.open_files.saturating_sub(then.open_files + CONNECTIONS),
            mounts: self.mounts.saturating_sub(then.mounts),
            work_files: self.work_files.saturating_sub(then.work_files),
            groups: self.groups.saturating_sub(then.groups),
            // Whoever is left of then is as much a trace as whoever came since.
            processes: self.processes,
            zombies: self.zombies,
        }
    }

    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The memory that a process has in use.
pub fn resident_bytes(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kibibytes.context("the kernel tells the size of a process")? * 1024)
}

/// A task whose program leaves a file, or, one in ten, a file and a process.
pub fn task_that_leaves_something(number: usize) -> Value {
    if number.is_multiple_of(10) {
        let env = json!({MARK: std::process::id().to_string()});
        json!({"name": "shell", "input": {"command": "echo x > kept; (sleep 600 &)", "env": env}})
    } else {
        json!({"name": "python", "input": {"code": "def main(input):\n    open('kept', 'w').write('x' * 10000)"}})
    }
}

fn count(folder: impl AsRef<Path>, has: impl Fn(&str) -> bool) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| has(&entry.file_name().to_string_lossy()))
        .count()
}

fn walk(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| 1 + if entry.path().is_dir() { walk(&entry.path()) } else { 0 })
        .sum()
}

fn groups(worker: u32) -> anyhow::Result<usize> {
    let own = fs::read_to_string(format!("/proc/{worker}/cgroup"))?;
    let folders = own.lines().filter_map(|line| {
        if let Some((_, path)) = line.split_once(":memory:") {
            return Some(format!("/sys/fs/cgroup/memory{path}"));
        }
        let path = line.strip_prefix("0::")?;
        Some(format!("/sys/fs/cgroup{}", path.trim_end_matches(OWN_LEAF)))
    });
    let of_worker = format!("orchestratum-{worker}-");
    Ok(folders
        .map(|folder| count(folder, |name| name.starts_with(&of_worker)))
        .sum())
}

fn zombies(worker: u32) -> usize {
    count("/proc", |name| {
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(&format!("Z {worker} ")))
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;
    use crate::wait::eventually;

    #[test]
    fn what_was_there_before_is_no_trace_and_a_process_always_is() {
        let before = Traces {
            open_files: 10,
            mounts: 5,
            work_files: 2,
            groups: 3,
            processes: 2,
            zombies: 1,
        };
        let fewer = Traces {
            open_files: 10 + CONNECTIONS,
            groups: 2,
            processes: 0,
            zombies: 0,
            ..before
        };
        assert!(fewer.since(before).is_nothing());
        let more = Traces { mounts: 6, ..before };
        assert_eq!(
            more.since(before),
            Traces {
                mounts: 1,
                processes: 2,
                zombies: 1,
                ..Traces::default()
            }
        );
    }

    #[test]
    fn a_process_has_memory_and_open_files() {
        let own = std::process::id();
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("a")).expect("made");
        fs::write(folder.path().join("a/b"), "").expect("written");
        let traces = Traces::of(own, folder.path()).expect("this process is there");
        assert!(traces.open_files > 0 && traces.mounts > 0);
        assert_eq!((traces.work_files, traces.groups), (2, 0));
        assert!(resident_bytes(own).expect("this process is there") > 0);
    }

    #[tokio::test]
    async fn a_process_that_a_program_left_is_a_trace_wherever_it_went() {
        let task = task_that_leaves_something(0);
        let (script, env) = (&task["input"]["command"], &task["input"]["env"][MARK]);
        let folder = tempfile::tempdir().expect("a folder");
        let own = std::process::id();
        let processes = || Traces::of(own, folder.path()).map(|traces| traces.processes);
        assert_eq!(processes().expect("this process is there"), 0);
        // Ends at once, and what it leaves is no longer below this process.
        let status = Command::new("/bin/sh")
            .args(["-c", script.as_str().expect("a text")])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env(MARK, env.as_str().expect("a text"))
            .current_dir(folder.path())
            .status();
        assert!(status.expect("a shell").success());
        let so_many = |expected: usize| async move {
            match processes() {
                Ok(found) if found == expected => Ok(()),
                other => Err(format!("{other:?}")),
            }
        };
        // In the middle of an `execve` a process shows no environment.
        eventually("it is counted", || so_many(1)).await;
        for process in processes_with_environment(&format!("{MARK}={own}")) {
            let process = Pid::from_raw(i32::try_from(process).expect("a number of a process"));
            kill(process, Signal::SIGKILL).expect("it is there");
        }
        eventually("it is dead", || so_many(0)).await;
    }
}
