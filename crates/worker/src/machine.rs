//! What a machine has for a worker. `doctor` asks the same questions, so that its answers are those of a start.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;

pub use crate::interpreter::{Interpreter, python};

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

    #[test]
    fn a_program_is_one_that_somebody_may_execute() {
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
