//! `cargo xtask bench`: the benchmark in release, against servers of its own.

use std::process::Command;

use anyhow::Result;

use crate::packages::{Installer, on_search_path};
use crate::workspace::Workspace;
use crate::{csharp, process, services};

const PROGRAM: &str = "orchestratum-bench";

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let workspace = Workspace::locate()?;
    let servers = services::provide()?;
    // The whole workspace at once, so that the programs it starts beside itself are built with the same features.
    process::run(&mut workspace.cargo(&["build", "--release", "--workspace", "--bins"]))?;
    let mut command = command(&workspace, "release");
    match csharp::provide(&workspace) {
        Ok(runtime) => {
            command.env(csharp::VARIABLE, runtime);
        }
        Err(error) => eprintln!("the benchmark leaves C# out: {error:#}"),
    }
    command.args(arguments);
    servers.addresses().apply(&mut command);
    process::run(&mut command)
}

/// The benchmark of this profile, with its peers where they can be had; it says what it leaves out.
pub(crate) fn command(workspace: &Workspace, profile: &str) -> Command {
    provide_bubblewrap();
    let mut command = Command::new(workspace.target().join(profile).join(PROGRAM));
    command.current_dir(workspace.root());
    command
}

/// The other peers are packages of Python and npm, which the benchmark installs for itself.
fn provide_bubblewrap() {
    if on_search_path("bwrap").is_some() {
        return;
    }
    let installed = Installer::of_this_machine().and_then(|installer| installer.install(&["bubblewrap"]));
    if let Err(error) = installed {
        eprintln!("the benchmark leaves bubblewrap out: {error:#}");
    }
}
