//! Environments of Python that tests use, made of packages whose checksums are written down.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::packages::Installer;
use crate::process;

/// A download that hangs is given up. What came before it is in the caches of pip, and of npm: the next try goes on from there.
pub(crate) const DOWNLOAD_LIMIT_SECONDS: u32 = 600;

/// The oldest that the packages are for.
const PYTHON_IS_NEW_ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 10))";

/// Held until the file is closed, however this process ends.
pub(crate) fn lock(path: &Path, what: &str) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("waiting for another command that makes {what}");
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    Ok(file)
}

pub(crate) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An interpreter with packages of its own.
pub(crate) fn environment(folder: &Path) -> Result<PathBuf> {
    let python3 = |arguments: &[&str]| {
        let mut command = Command::new("python3");
        command.args(arguments);
        command
    };
    if !process::succeeds(&mut python3(&["-c", PYTHON_IS_NEW_ENOUGH])) {
        bail!("there is no `python3` of version 3.10 or newer");
    }
    if !process::succeeds(&mut python3(&["-c", "import ensurepip, venv"])) {
        Installer::of_this_machine()?.install(&["python3-venv"])?;
    }
    let environment = folder.join("environment");
    process::run(python3(&["-m", "venv"]).arg(&environment))?;
    Ok(environment.join("bin/python"))
}

/// Every file is checked against its checksum.
pub(crate) fn install(python: &Path, requirements: &Path) -> Result<()> {
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]);
    pip.args([
        "--retries",
        "5",
        "--timeout",
        "60",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]);
    pip.args(["--require-hashes", "--requirement"]).arg(requirements);
    // What is printed may be read by a shell.
    process::run(process::within(DOWNLOAD_LIMIT_SECONDS, &pip).stdout(Stdio::null()))
}
