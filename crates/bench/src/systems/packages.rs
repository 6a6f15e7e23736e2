//! The packages of the peers, in the versions that are written down; installed once, into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::machine::Program;

const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// Says in the folder what is installed in it.
const INSTALLED: &str = "requirements.txt";

/// An interpreter of Python with these packages, in a virtual environment of its own.
pub(crate) async fn python_with(what: &str, requirements: &str, folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin").join("python");
    if is_installed(folder, INSTALLED, requirements) {
        return Ok(python);
    }
    println!("Installing {what} into {}.", folder.display());
    let logs = folder.parent().context("an environment is in a folder")?;
    let mut create = Command::new("python3");
    create.args(["-m", "venv"]).arg(folder);
    run(create, logs)
        .await
        .context("the benchmark needs python3 with venv")?;
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, requirements).context("cannot write the list of packages")?;
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .arg("--requirement")
        .arg(&wanted);
    run(install, logs)
        .await
        .with_context(|| format!("cannot install {what}"))?;
    fs::rename(&wanted, folder.join(INSTALLED)).context("cannot write the list of packages")?;
    Ok(python)
}

/// Whether the file that is written last says so.
pub(crate) fn is_installed(folder: &Path, file: &str, wanted: &str) -> bool {
    fs::read_to_string(folder.join(file)).is_ok_and(|installed| installed == wanted)
}

/// Runs a program that installs something to its end.
pub(crate) async fn run(command: Command, logs: &Path) -> Result<()> {
    Program::start("install", command, logs)?.finish(INSTALL_LIMIT).await
}

/// The files of a peer, into a folder that is made for them.
pub(crate) fn write_files(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, text) in files {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// What a short program prints, without the end of the line.
pub(crate) fn printed(mut command: Command) -> Result<String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{shown} ended with {}: {errors}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
