//! Finding the processes of a run whose shim is gone, by the marker in their environment.
//!
//! Only for that case: a program can hide from it by changing its environment, from the shim it cannot.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::protocol::MARKER;

/// A tree that forks faster than it is killed must not keep us here for ever.
const PASSES: usize = 100;

/// Kills until a look finds nobody.
pub(crate) fn kill_marked(run: &str) {
    let entry = format!("{MARKER}={run}");
    for _ in 0..PASSES {
        let marked = marked(entry.as_bytes());
        if marked.is_empty() {
            return;
        }
        for pid in marked {
            // It may have ended in the meantime.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
    tracing::error!(run, "processes of a run are still alive after {PASSES} passes");
}

fn marked(entry: &[u8]) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .filter(|pid| {
            // Of a process that is dead and not reaped yet it is empty.
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == entry))
        })
        .collect()
}
