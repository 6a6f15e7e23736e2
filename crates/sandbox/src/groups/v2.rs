//! Version 2: one hierarchy for all controllers, in which a group has either processes or groups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where this process goes, so that its group can have others beside it.
const OWN_LEAF: &str = "orchestratum-worker";

/// The group of this process, by `/proc/self/cgroup`: `0::/a/b`. Made ready to have groups in it, if it is this process's
/// alone, as that of a service of systemd with `Delegate=yes` is.
pub(super) fn parent(mounts: &Path, own: &str) -> Result<PathBuf, String> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"));
    let path = path.ok_or("there is no such hierarchy")?.trim_start_matches('/');
    // This process may have moved within it at an earlier try.
    let path = path.strip_suffix(OWN_LEAF).unwrap_or(path).trim_end_matches('/');
    let group = mounts.join(path);
    let read = |name: &str| fs::read_to_string(group.join(name)).unwrap_or_default();
    let controllers = read("cgroup.controllers");
    let has = |controller: &str| controllers.split_whitespace().any(|name| name == controller);
    if let Some(missing) = ["memory", "pids"].into_iter().find(|controller| !has(controller)) {
        return Err(format!("no controller `{missing}` in {}", group.display()));
    }
    let ours = std::process::id().to_string();
    if read("cgroup.procs").lines().any(|process| process != ours) {
        return Err(format!("other processes are in {}", group.display()));
    }
    let about = |error: io::Error| format!("{}: {error}", group.display());
    let leaf = group.join(OWN_LEAF);
    if !leaf.is_dir() {
        fs::create_dir(&leaf).map_err(about)?;
    }
    fs::write(leaf.join("cgroup.procs"), &ours).map_err(about)?;
    let wanted = if has("cpu") {
        "+memory +pids +cpu"
    } else {
        "+memory +pids"
    };
    fs::write(group.join("cgroup.subtree_control"), wanted).map_err(about)?;
    Ok(group)
}

/// Memory, and nothing beside it on the disk.
pub(super) fn limit_memory(folder: &Path, most: Option<u64>) -> io::Result<()> {
    let (most, swap) = most.map_or(("max".to_owned(), "max"), |most| (most.to_string(), "0"));
    fs::write(folder.join("memory.max"), most)?;
    let swap_limit = folder.join("memory.swap.max");
    // A kernel without swap has no such file; a file system that is not the kernel's has none either until it is written.
    match fs::write(&swap_limit, swap) {
        Err(error) if !swap_limit.exists() => {
            tracing::debug!(%error, "the kernel does not limit swap");
            Ok(())
        }
        written => written,
    }
}

/// Gives files that were read, and nobody needs at the moment, back to the machine (Linux 5.19).
pub(super) fn give_back(folder: &Path, held_bytes: u64) {
    let file = folder.join("memory.reclaim");
    // What cannot go stays, which is no failure.
    let _ = file.exists().then(|| fs::write(file, held_bytes.to_string()));
}
