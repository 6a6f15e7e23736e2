//! Capabilities (`capabilities(7)`): those that came with the user namespace, given up.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs};

/// Applies to this process and all it starts, for good: no program it executes gives any back.
pub(crate) fn give_up() -> io::Result<()> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    Ok(set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?)
}
