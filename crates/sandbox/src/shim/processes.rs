//! The processes below this one, as `/proc` shows them.

use std::collections::HashMap;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

/// Sends a signal to every process below this one. One that ended in the meantime needs none.
pub(super) fn signal_descendants(signal: Signal) {
    for pid in descendants(getpid().as_raw(), &parents()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Every process with its parent.
fn parents() -> Vec<(i32, i32)> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent_of(&stat)?))
        })
        .collect()
}

/// The fourth field. The second is the name in brackets, which a program can set to anything, brackets included.
fn parent_of(stat: &[u8]) -> Option<i32> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn descendants(root: i32, parents: &[(i32, i32)]) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, parent) in parents {
        children.entry(*parent).or_default().push(*pid);
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend(&below);
        open.extend(below);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_hide_the_parent() {
        assert_eq!(parent_of(b"12 (a) R 1 (x) S 7 12 12 0"), Some(7));
        assert_eq!(parent_of(b"12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent_of(b""), None);
    }

    #[test]
    fn descendants_are_children_and_theirs() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 99)];
        let mut below = descendants(2, &parents);
        below.sort_unstable();
        assert_eq!(below, [3, 4]);
    }
}
