//! Landlock (`landlock(7)`): the files a program may read and write, by the kernel's own walk from the file to the root; no
//! signals and no abstract sockets to processes outside.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};

use crate::Confinement;

/// What this code knows. An older kernel enforces what it can; the least is the first version (Linux 5.13), for files.
const KNOWN: ABI = ABI::V6;

/// What programs may write to that is no file.
pub(super) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// What this kernel's Landlock guards beside what the first version does. Where it does not, the filter of system calls stands
/// in, as far as it can tell.
///
/// Of the versions between: without 2 no file is moved from one folder to another, without 4 it is the filter alone that
/// keeps programs from the network, and what 5 adds is of devices, of which there are none but [`DEVICES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guards {
    /// Shortening a file (version 3, Linux 6.2).
    pub(super) truncation: bool,
    /// Signals and abstract sockets to processes outside (version 6, Linux 6.12).
    pub(super) scopes: bool,
}

impl Guards {
    pub(super) fn of(version: ABI) -> Self {
        Self {
            truncation: version >= ABI::V3,
            scopes: version >= ABI::V6,
        }
    }
}

/// Applies to this process and all it starts, for good.
pub(crate) fn restrict(confinement: &Confinement, readable: &[PathBuf], writable: &[&Path]) -> io::Result<Guards> {
    let version = enforce(confinement, readable, writable).map_err(io::Error::other)?;
    version.map(Guards::of).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel has no Landlock, or it is turned off",
        )
    })
}

/// Which version of the rules counts now; `None` if none do.
fn enforce(confinement: &Confinement, readable: &[PathBuf], writable: &[&Path]) -> Result<Option<ABI>, RulesetError> {
    let read = AccessFs::from_read(KNOWN);
    // Nobody needs to make devices, and who has no right to may still try.
    let write = AccessFs::from_all(KNOWN) & !(AccessFs::MakeBlock | AccessFs::MakeChar);
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(landlock::Scope::from_all(KNOWN))?;
    if !confinement.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(KNOWN))?;
    }
    // Paths that are not there are passed over.
    let status = ruleset
        .create()?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(writable, write))?
        .add_rules(path_beneath_rules(DEVICES, device))?
        .restrict_self()?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            Some(effective_abi)
        }
        _ => None,
    })
}
