//! What a machine has for a worker. `doctor` asks the same questions, so that its answers are those of a start.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustls::RootCertStore;
use tokio::time::timeout;

/// How long an interpreter may take to say which it is.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// Begins every variable that is a setting, in capitals or not.
const SETTINGS_PREFIX: &str = "ORCHESTRATUM";

/// An interpreter of Python.
#[derive(Debug)]
pub struct Interpreter {
    /// Its own: a wrapper, such as those of version managers, needs the worker's environment to work, but not the passwords
    /// in it, which every process of this user could read from there.
    pub path: String,
    pub version: String,
    /// What it needs beside the system: itself and its libraries.
    pub folders: Vec<PathBuf>,
}

const QUESTION: &str = "
import os, sys
assert sys.version_info >= (3, 8), sys.version
print(sys.executable)
print('.'.join(map(str, sys.version_info[:3])))
program = os.path.realpath(sys.executable)
for folder in {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.dirname(program))}:
    print(folder)
    print(os.path.realpath(folder))
";

/// Which interpreter it is that is called so.
///
/// # Errors
/// What is wrong, in words: it is not there, it does not answer, or it is older than Python 3.8.
pub async fn python(interpreter: &str) -> Result<Interpreter, String> {
    let mut command = tokio::process::Command::new(interpreter);
    command
        .args(["-I", "-c", QUESTION])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_uppercase().starts_with(SETTINGS_PREFIX) {
            command.env_remove(name);
        }
    }
    let answer = match timeout(PROBE_PATIENCE, command.output()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("it did not answer within {} s", PROBE_PATIENCE.as_secs())),
    };
    let text = String::from_utf8_lossy(&answer.stdout);
    let mut lines = text.lines();
    if let (Some(path), Some(version)) = (lines.next(), lines.next())
        && answer.status.success()
        && Path::new(path).is_absolute()
    {
        return Ok(Interpreter {
            path: path.to_owned(),
            version: version.to_owned(),
            // Nobody is shown a whole machine because an interpreter says that it is installed at its root.
            folders: lines
                .map(PathBuf::from)
                .filter(|folder| folder.components().count() > 1)
                .collect(),
        });
    }
    let said = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
    Err(if said.is_empty() {
        format!("it does not say where it is: {}", answer.status)
    } else {
        said
    })
}

/// A program by its path, or by its name in the worker's search path.
pub fn program(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        // A program starts in a folder of its own.
        return std::path::absolute(program).ok().filter(|path| is_program(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| is_program(path))
}

/// Whether anybody may execute it.
fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Where tasks would get their working directories. Nothing stays there of the try.
///
/// # Errors
/// When a folder cannot be made there.
pub fn work_dir(configured: Option<&Path>) -> io::Result<PathBuf> {
    let base = configured.map_or_else(std::env::temp_dir, Path::to_owned);
    // What is missing is made at the start, in the nearest folder that is there.
    let there = std::path::absolute(&base)?;
    let there = there.ancestors().find(|folder| folder.exists()).unwrap_or(&there);
    let made = tempfile::Builder::new().prefix("orchestratum-try-").tempdir_in(there)?;
    made.close()?;
    Ok(base)
}

/// Those this machine trusts, for requests over TLS.
///
/// # Errors
/// When there are none.
pub fn root_certificates() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _ignored) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found
        .errors
        .first()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    Err(format!(
        "this machine has no root certificates, install `ca-certificates`{why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_interpreter_that_is_not_there_is_told_with_a_reason() {
        assert!(
            python("/no/such/python3")
                .await
                .is_err_and(|reason| reason.contains("No such file"))
        );
        assert!(python("/bin/false").await.is_err_and(|reason| !reason.is_empty()));
        assert_eq!(program("no-such-shell"), None);
        assert!(program("sh").is_some());
        assert_eq!(program("/etc/passwd"), None, "nobody may execute it");
    }

    #[test]
    fn a_folder_for_working_directories_is_tried_and_left_as_it_was() {
        let base = tempfile::tempdir().expect("a folder");
        let missing = base.path().join("a/b");
        for folder in [base.path(), &missing] {
            assert_eq!(work_dir(Some(folder)).expect("it can be written"), folder);
        }
        assert_eq!(std::fs::read_dir(base.path()).expect("it is there").count(), 0);
        assert!(work_dir(Some(Path::new("/proc/nothing"))).is_err());
    }
}
