//! Namespaces (`namespaces(7)`): the programs' own view of what the kernel otherwise shares.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_dumpable;
use nix::unistd::{Gid, Pid, Uid, getegid, geteuid, setgroups, setresgid, setresuid};

use crate::Confinement;

/// Who programs are inside.
const INSIDE: u32 = 1000;

/// The first of the users that root's programs are outside. Far above those that people, systemd and container engines
/// give away; process ids go up to 2^22.
const FIRST_OWN_USER: u32 = 0x5000_0000;

/// Mounts of its own, for a root that may have them; the root of a container may be root by name only.
pub(crate) fn separate_mounts_as_root() -> bool {
    geteuid().is_root() && unshare(CloneFlags::CLONE_NEWNS).is_ok()
}

/// Makes this process, which is root's, that of a user of its own. As a number, that user stands for one process alone, so
/// that what the kernel counts or allows by user ends at the walls too.
pub(crate) fn leave_root() -> io::Result<()> {
    let own = FIRST_OWN_USER + u32::try_from(Pid::this().as_raw()).map_err(io::Error::other)?;
    let (user, group) = (Uid::from_raw(own), Gid::from_raw(own));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    // The change took it away, and with it the right to this process's own files in /proc.
    Ok(set_dumpable(true)?)
}

/// Connections that wait at a socket until somebody takes them, each of which holds as much as a socket and is no open file.
/// About as many as datagrams wait at one (`max_dgram_qlen` in `unix(7)`), so that neither holds much more than the other.
const WAITING_CONNECTIONS: &str = "8";

/// Separates this process. Process ids are those of the children it has from now on.
pub(crate) fn separate(confinement: &Confinement) -> io::Result<()> {
    let mut flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    if !confinement.network {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    let (user, group) = (geteuid(), getegid());
    unshare(flags)?;
    // Without it, a process could leave groups, and so pass where they are refused (`user_namespaces(7)`).
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{INSIDE} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{INSIDE} {group} 1"))?;
    if !confinement.network && !confinement.memory_is_counted {
        // Where it can be had: from Linux 6.3 on, and not in each container.
        let _ = fs::write("/proc/sys/net/core/somaxconn", WAITING_CONNECTIONS);
    }
    Ok(())
}
