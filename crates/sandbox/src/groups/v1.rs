//! Version 1: each controller has a hierarchy of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const NEEDED: [&str; 2] = ["memory", "pids"];

/// Shares the processors among groups and not among processes: a program with a thousand of them has one share.
const WANTED: &str = "cpu";

/// The groups of this process, by `/proc/self/cgroup`: `4:memory:/a/b`, `2:cpu,cpuacct:/`.
pub(super) fn parents(mounts: &Path, own: &str) -> Result<Vec<PathBuf>, String> {
    let of = |controller: &str| {
        let path = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let has = parts.next()?.split(',').any(|name| name == controller);
            parts.next().filter(|_| has)
        });
        let path = path.ok_or_else(|| format!("no controller `{controller}`"))?;
        let mount = mounts.join(controller);
        let group = mount.join(path.trim_start_matches('/'));
        // In a container the path may be that of the machine, and the mount the group itself.
        let group = if group.is_dir() { group } else { mount };
        if group.is_dir() {
            Ok(group)
        } else {
            Err(format!("{} is not there", group.display()))
        }
    };
    let needed: Result<Vec<PathBuf>, String> = NEEDED.into_iter().map(of).collect();
    needed.map(|mut parents| {
        parents.extend(of(WANTED));
        parents
    })
}

/// The most that was held, without and with what is swapped out.
const PEAKS: [&str; 2] = ["memory.max_usage_in_bytes", "memory.memsw.max_usage_in_bytes"];

/// How near its limit a group is that has all of it: the kernel gives memory by pages and in small stocks.
const NEAR_BYTES: u64 = 1 << 20;

/// Memory, with what is swapped out where the kernel counts that.
pub(super) fn limit_memory(folder: &Path, most: Option<u64>) -> io::Result<()> {
    let most = most.map_or("-1".to_owned(), |most| most.to_string());
    let with_swap = folder.join("memory.memsw.limit_in_bytes");
    let counts_swap = with_swap.exists();
    if counts_swap {
        // It may at no time be less than the other one.
        fs::write(&with_swap, "-1")?;
    }
    fs::write(folder.join("memory.limit_in_bytes"), &most)?;
    if counts_swap {
        fs::write(&with_swap, &most)?;
    }
    Ok(())
}

/// Gives files that were read, and nobody needs at the moment, back to the machine.
pub(super) fn give_back(folder: &Path) {
    // What cannot go stays, which is no failure.
    let _ = fs::write(folder.join("memory.force_empty"), "0");
}

/// Counts the most that is held anew.
pub(super) fn forget_peak(folder: &Path) {
    for peak in PEAKS {
        let file = folder.join(peak);
        let _ = file.exists().then(|| fs::write(file, "0"));
    }
}

/// Whether as much was held as the limit allows. Without that, nobody was killed for the limit: not by `memory.failcnt`, which
/// newer kernels do not count where swap is limited, too.
pub(super) fn had_all_of(folder: &Path, most: u64) -> bool {
    let peak = PEAKS.map(|peak| super::number_in(&folder.join(peak)));
    peak.into_iter().any(|peak| peak.saturating_add(NEAR_BYTES) >= most)
}
