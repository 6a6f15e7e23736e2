//! What only the user can bring: the parts of the Rust toolchain.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| !process::succeeds(&mut workspace.cargo(&[subcommand, "--version"])))
        .map(|(_, component)| component)
        .collect();
    if !missing.is_empty() {
        bail!(
            "the Rust toolchain lacks {0}: run `rustup component add {0}`",
            missing.join(" ")
        );
    }
    // Rust itself links with the compiler, and ring, SQLite and the allocator are compiled by it.
    for (program, what) in [("cc", "C compiler"), ("make", "`make`")] {
        if !process::succeeds(Command::new(program).arg("--version")) {
            bail!("there is no {what}: install the packages `gcc` and `make` (or `build-essential`)");
        }
    }
    Ok(())
}
