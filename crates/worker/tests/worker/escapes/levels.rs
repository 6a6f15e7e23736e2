//! The levels at which code is tried.

use std::fs;

use orchestratum_sandbox::{Isolation, Sandbox, Shim};
use serde_json::{Value, json};

/// Of the two that keep code apart those that this machine grants: both, or in most containers `landlock` alone.
pub(super) async fn granted() -> Vec<Isolation> {
    let mut granted = Vec::new();
    for level in [Isolation::Full, Isolation::Landlock] {
        let shim = Shim::at(env!("CARGO_BIN_EXE_orchestratum-worker"));
        match Sandbox::open(shim, level, Vec::new(), None).await {
            Ok(_) => granted.push(level),
            Err(error) => eprintln!(
                "not tried at {}, which this machine does not grant: {error}",
                level.as_str()
            ),
        }
    }
    assert!(!granted.is_empty(), "this machine keeps no code apart");
    granted
}

/// What attempts are told of their level.
pub(super) fn known(level: Isolation) -> [(&'static str, Value); 2] {
    let signals_kept = level == Isolation::Full || has_scopes();
    [
        ("LEVEL", json!(level.as_str())),
        ("SIGNALS_KEPT", json!(u8::from(signals_kept))),
    ]
}

/// Whether Landlock keeps signals inside: from Linux 6.12 on.
fn has_scopes() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel tells its version");
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 12)
}
