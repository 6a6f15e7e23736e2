//! `cargo xtask bench`: the benchmark in release, against servers of its own.

use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{process, services};

const PROGRAM: &str = "orchestratum-bench";

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let workspace = Workspace::locate()?;
    let servers = services::provide()?;
    // The whole workspace at once, so that the programs it starts beside itself are built with the same features.
    process::run(&mut workspace.cargo(&["build", "--release", "--workspace", "--bins"]))?;
    let mut command = Command::new(workspace.target().join("release").join(PROGRAM));
    command.current_dir(workspace.root()).args(arguments);
    servers.addresses().apply(&mut command);
    process::run(&mut command)
}
