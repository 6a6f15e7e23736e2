//! Where the checkout is, and cargo run in it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let manifest =
            process::read(Command::new(cargo()).args(["locate-project", "--workspace", "--message-format", "plain"]))?;
        let root = Path::new(manifest.trim())
            .parent()
            .context("the manifest has no folder")?;
        Ok(Self { root: root.to_owned() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        command.current_dir(&self.root).args(arguments);
        // Output goes through a pipe here and there: say what the terminal can do, unless somebody said it already.
        if std::env::var_os("CARGO_TERM_COLOR").is_none() && std::io::stdout().is_terminal() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        // A continuous integration starts cold: what would speed up its next build is only time and disk lost.
        if std::env::var_os("CI").is_some() && std::env::var_os("CARGO_INCREMENTAL").is_none() {
            command.env("CARGO_INCREMENTAL", "0");
        }
        command
    }

    /// Every program and every test, in one go: the same features for all of them, so that nothing is built twice.
    pub(crate) fn build_everything(&self) -> Command {
        self.cargo(&["build", "--workspace", "--all-targets"])
    }

    /// Where cargo puts what it builds, as one of its programs sees it: from the environment or the default.
    pub(crate) fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(directory) => self.root.join(directory),
            None => self.root.join("target"),
        }
    }
}

/// The cargo that started us, so that a chosen toolchain stays chosen.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
