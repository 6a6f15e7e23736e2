//! What processes use, from `/proc`.

use std::collections::{HashMap, HashSet};
use std::fs;

use anyhow::{Context, Result};

/// The kernel counts in these, on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time used by some processes and all their descendants, those that have ended included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    ticks: u64,
}

impl Usage {
    pub(crate) fn of(roots: &[u32]) -> Result<Self> {
        let processes = Process::all()?;
        // One that has ended meanwhile is in the figure of the parent that waited for it.
        let ticks = family(roots, &processes)
            .iter()
            .filter_map(|id| processes.get(id))
            .map(|process| process.ticks)
            .sum();
        Ok(Self { ticks })
    }

    pub(crate) fn seconds_since(self, before: Self) -> f64 {
        self.ticks.saturating_sub(before.ticks) as f64 / TICKS_PER_SECOND
    }
}

/// How many processes there are below this one, the dead that nobody has waited for included.
pub(crate) fn descendants_of(process: u32) -> Result<usize> {
    Ok(family(&[process], &Process::all()?).len() - 1)
}

/// The processes and all their descendants.
fn family(roots: &[u32], processes: &HashMap<u32, Process>) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (id, process) in processes {
        children.entry(process.parent).or_default().push(*id);
    }
    let mut seen = HashSet::new();
    let mut waiting = roots.to_vec();
    while let Some(id) = waiting.pop() {
        if seen.insert(id) {
            waiting.extend(children.get(&id).into_iter().flatten());
        }
    }
    seen
}

pub(crate) fn parent_of(process: u32) -> Result<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))
        .with_context(|| format!("there is no process {process} on this machine"))?;
    let process = Process::parse(&text).context("cannot read /proc")?;
    Ok(process.parent)
}

/// The most memory it ever had in use.
pub(crate) fn peak_memory_bytes(process: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))
        .with_context(|| format!("there is no process {process} on this machine"))?;
    peak_in_status(&text).context("/proc has no peak of the memory in use")
}

fn peak_in_status(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

struct Process {
    parent: u32,
    /// Its own and those of the children it has waited for.
    ticks: u64,
}

impl Process {
    fn all() -> Result<HashMap<u32, Self>> {
        let mut processes = HashMap::new();
        for entry in fs::read_dir("/proc").context("cannot list /proc")? {
            let entry = entry.context("cannot list /proc")?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // It may end while we look.
            if let Ok(text) = fs::read_to_string(entry.path().join("stat"))
                && let Some(process) = Self::parse(&text)
            {
                processes.insert(id, process);
            }
        }
        Ok(processes)
    }

    /// The name stands in parentheses and may hold anything, so the fields are counted from the last one.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            // utime, stime, cutime, cstime of proc_pid_stat(5).
            ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let text = "12 (a) b (c) S 7 12 12 0 -1 4194560 1 0 0 0 10 20 3 4 20 0 1 0 100 0 0";
        let process = Process::parse(text).expect("it is a line of /proc");
        assert_eq!((process.parent, process.ticks), (7, 37));
    }

    #[test]
    fn the_peak_is_in_kibibytes() {
        assert_eq!(peak_in_status("Name:\tx\nVmHWM:\t   2048 kB\n"), Some(2 * 1024 * 1024));
    }

    #[test]
    fn a_process_uses_what_it_used_before_and_more() {
        let own = std::process::id();
        let before = Usage::of(&[own]).expect("this process is there");
        let after = Usage::of(&[own]).expect("this process is there");
        assert!(after.seconds_since(before) >= 0.0);
        assert!(parent_of(own).expect("this process is there") > 0);
        assert!(peak_memory_bytes(own).expect("this process is there") > 0);
    }

    #[test]
    fn children_are_counted_until_they_are_waited_for() {
        let own = std::process::id();
        let before = descendants_of(own).expect("this process is there");
        let mut child = std::process::Command::new("true").spawn().expect("it starts");
        assert_eq!(descendants_of(child.id()).expect("it is there"), 0);
        assert!(descendants_of(own).expect("this process is there") > before);
        child.wait().expect("it ends");
    }
}
