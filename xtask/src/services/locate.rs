//! Where the servers are installed, if they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::packages::on_search_path;
use crate::process;

/// The folder with `initdb` and `postgres`, the newest of several: Debian keeps them off the search path.
pub(super) fn postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .filter(|directory| directory.join("initdb").exists() && directory.join("postgres").exists())
        .max_by_key(|directory| version_of(directory))
        .or_else(|| on_search_path("initdb").filter(|directory| directory.join("postgres").exists()))
}

fn version_of(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

/// The start script itself; the one on Debian's search path insists on an account of its own.
pub(super) fn rabbitmq() -> Option<PathBuf> {
    let debian = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    if debian.exists() {
        return Some(debian.to_owned());
    }
    on_search_path("rabbitmq-server").map(|directory| directory.join("rabbitmq-server"))
}

/// The tests run tasks written in Python. Started, not only found: a version manager's stub may lead nowhere.
pub(super) fn python_runs() -> bool {
    process::succeeds(Command::new("python3").arg("--version"))
}
