//! A private engine, for a machine that has none: Debian's packages, a socket, data and a process of its own.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::engine::Client;
use crate::identity::Identity;
use crate::packages::{Installer, are_we_root};
use crate::process;
use crate::stopwatch::wait_until;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Debian's own client: `BuildKit` is part of it, where newer ones need a plugin that Debian does not have.
const PROGRAM: &str = "/usr/bin/docker";

const REQUIREMENTS: &str = include_str!("../../docker/requirements.txt");

const ROOT: u32 = 0;

/// Stays from run to run, because it holds what took minutes to build; removing it is always safe while none runs.
pub(super) fn directory() -> PathBuf {
    std::env::temp_dir().join("orchestratum-docker")
}

pub(super) fn install(directory: &Path) -> Result<()> {
    if !are_we_root()? {
        bail!("no container engine answers: start one, or run this as root, which starts a private one");
    }
    make_for(directory, ROOT)?;
    let needed = [
        ("docker.io", "/usr/sbin/dockerd"),
        ("debootstrap", "/usr/sbin/debootstrap"),
        ("iptables", "/usr/sbin/iptables"),
    ];
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(_, program)| !Path::new(program).exists())
        .map(|(package, _)| *package)
        .collect();
    if !missing.is_empty() {
        Installer::of_this_machine()?.install(&missing)?;
    }
    install_compose(&directory.join("venv"))
}

/// Its place is known to everybody, and what lies in it is run as root: nobody else may have made it, or write there.
fn make_for(directory: &Path, owner: u32) -> Result<()> {
    const WRITABLE_FOR_OTHERS: u32 = 0o022;
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.with_context(|| format!("cannot make {}", directory.display()))?,
    }
    // Of a link itself, not of what it leads to.
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() || found.uid() != owner || found.mode() & WRITABLE_FOR_OTHERS != 0 {
        bail!(
            "{} is not a folder that this user alone may write to: remove it",
            directory.display()
        );
    }
    Ok(())
}

/// In the version that is written down.
fn install_compose(environment: &Path) -> Result<()> {
    let installed = environment.join("requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(());
    }
    println!("==> installing compose into {}", environment.display());
    process::run(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    let wanted = environment.join("wanted.txt");
    fs::write(&wanted, REQUIREMENTS)?;
    let mut install = Command::new(environment.join("bin/pip"));
    install.args(["install", "--quiet", "--require-hashes", "--no-deps", "--requirement"]);
    process::run(install.arg(&wanted))?;
    // Said when it is so.
    Ok(fs::rename(wanted, installed)?)
}

pub(super) fn start(directory: &Path) -> Result<Client> {
    println!("==> starting a private container engine in {}", directory.display());
    let host = format!("unix://{}", directory.join("docker.sock").display());
    let client = Client::private(PROGRAM.into(), host.clone(), compose(directory));
    let log = directory.join("dockerd.log");
    let output = File::create(&log)?;
    let mut daemon = Command::new("dockerd")
        .args(["--host", &host, "--data-root"])
        .arg(directory.join("data"))
        .arg("--exec-root")
        .arg(directory.join("exec"))
        .arg("--pidfile")
        .arg(directory.join("docker.pid"))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .context("cannot start dockerd")?;
    fs::write(record(directory), Identity::of(daemon.id())?.to_string())?;
    wait_until("the private engine answers", START_LIMIT, || {
        if let Some(status) = daemon.try_wait()? {
            bail!("dockerd ended with {status}: see {}", log.display());
        }
        Ok(client.answers())
    })?;
    Ok(client)
}

/// Ends the daemon and takes back what it leaves in the machine's network.
pub(super) fn stop(directory: &Path) -> Result<()> {
    let Ok(record) = fs::read_to_string(record(directory)) else {
        // It was never started.
        return Ok(());
    };
    let daemon: Identity = record.parse()?;
    if daemon.is_alive() {
        process::signal("TERM", &daemon.pid().to_string())?;
        wait_until("the end of the private engine", STOP_LIMIT, || Ok(!daemon.is_alive()))?;
    }
    process::run(Command::new("sh").args(["-euc", CLEAN_UP_NETWORK]))
}

fn record(directory: &Path) -> PathBuf {
    directory.join("daemon")
}

fn compose(directory: &Path) -> PathBuf {
    directory.join("venv/bin/docker-compose")
}

/// The daemon leaves its chains, the rules that lead to them, its bridge, and a policy that drops what is forwarded.
const CLEAN_UP_NETWORK: &str = r#"
iptables -P FORWARD ACCEPT
for table in filter nat; do
  iptables -t "$table" -S \
    | grep -E '^-A (FORWARD|PREROUTING|OUTPUT|POSTROUTING) ' \
    | grep -E 'DOCKER|docker0|172\.1[7-9]\.|br-' \
    | sed 's/^-A/-D/' \
    | while read -r rule; do eval "iptables -t $table $rule"; done || true
  chains=$(iptables -t "$table" -S | sed -n 's/^-N \(DOCKER.*\)/\1/p')
  for chain in $chains; do iptables -t "$table" -F "$chain"; done
  for chain in $chains; do iptables -t "$table" -X "$chain"; done
done
ip link delete docker0 2>/dev/null || true
"#;

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_that_somebody_else_may_have_filled_is_refused() -> Result<()> {
        let base = std::env::temp_dir().join(format!("orchestratum-private-{}", std::process::id()));
        fs::create_dir(&base)?;
        let owner = fs::metadata(&base)?.uid();
        let folder = base.join("engine");
        make_for(&folder, owner)?;
        assert_eq!(fs::metadata(&folder)?.mode() & 0o777, 0o700);
        make_for(&folder, owner)?;
        assert!(make_for(&folder, owner + 1).is_err(), "it is somebody else's");
        symlink(&folder, base.join("link"))?;
        assert!(
            make_for(&base.join("link"), owner).is_err(),
            "it may lead anywhere later"
        );
        fs::set_permissions(&folder, Permissions::from_mode(0o770))?;
        assert!(make_for(&folder, owner).is_err(), "others may write there");
        Ok(fs::remove_dir_all(base)?)
    }
}
