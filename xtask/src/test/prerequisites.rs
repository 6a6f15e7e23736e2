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
    // Rust itself links with it, and ring and SQLite are compiled by it.
    if !process::succeeds(Command::new("cc").arg("--version")) {
        bail!("there is no C compiler: install the package `gcc` (or `build-essential`)");
    }
    Ok(())
}
