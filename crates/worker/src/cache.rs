//! What a worker makes once for its programs, and keeps for all workers of its user.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A folder that nobody else may write to.
#[derive(Debug)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    /// The folder that is configured as `setting`, or the usual one. Made where it is missing.
    pub(crate) fn open(configured: Option<&Path>, setting: &str) -> Result<Self, String> {
        let folder = configured.map_or_else(|| usual(setting), |folder| Ok(folder.to_owned()))?;
        let cache = Self(folder);
        // Readable for all: programs may have another user.
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&cache.0);
        made.map_err(|error| cache.told(&error))?;
        cache.check()?;
        Ok(cache)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// What went wrong there.
    pub(crate) fn told(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.0.display())
    }

    /// What lies there is run by the tasks of everybody.
    fn check(&self) -> Result<(), String> {
        const WRITABLE_FOR_OTHERS: u32 = 0o002;
        let metadata = fs::metadata(&self.0).map_err(|error| self.told(&error))?;
        if metadata.permissions().mode() & WRITABLE_FOR_OTHERS != 0 {
            return Err(format!("anybody may write into {}", self.0.display()));
        }
        Ok(())
    }
}

fn usual(setting: &str) -> Result<PathBuf, String> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let of_user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute);
    let of_user = of_user.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")).filter(absolute));
    of_user
        .map(|folder| folder.join("orchestratum"))
        .ok_or_else(|| format!("this user has no folder for caches: set `{setting}`"))
}

/// Stands for all that something was made of: what is made of the same has the same name.
#[derive(Debug, Default)]
pub(crate) struct Key(Sha256);

impl Key {
    pub(crate) fn part(&mut self, part: impl AsRef<[u8]>) {
        self.length(part.as_ref().len() as u64);
        self.0.update(part);
    }

    /// A part of so many bytes, all of them.
    pub(crate) fn read(&mut self, length: u64, mut from: impl io::Read) -> io::Result<()> {
        self.length(length);
        let copied = io::copy(&mut from, &mut Hashed(&mut self.0))?;
        if copied == length {
            return Ok(());
        }
        Err(io::Error::other("it changed while it was read"))
    }

    pub(crate) fn text(self) -> String {
        self.0.finalize()[..16].iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// So that nothing can move from one part to the next.
    fn length(&mut self, length: u64) {
        self.0.update(length.to_be_bytes());
    }
}

struct Hashed<'a>(&'a mut Sha256);

impl io::Write for Hashed<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_folder_that_anybody_may_write_to_is_refused() {
        let base = tempfile::tempdir().expect("a folder");
        let folder = base.path().join("a/b");
        let open = || Cache::open(Some(&folder), "worker.cache").map(|cache| cache.folder().to_owned());
        assert_eq!(open(), Ok(folder.clone()));
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("it is ours");
        assert!(open().is_err_and(|reason| reason.starts_with("anybody may write")));
    }

    #[test]
    fn other_parts_make_another_key() {
        let of = |parts: &[&str]| {
            let mut key = Key::default();
            for part in parts {
                key.part(part);
            }
            key.text()
        };
        assert_eq!(of(&["a", "bc"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", "bc"]), of(&["ab", "c"]));
        let mut read = Key::default();
        read.part("a");
        read.read(2, b"bc".as_slice()).expect("it is read");
        assert_eq!(read.text(), of(&["a", "bc"]));
        assert!(Key::default().read(3, b"bc".as_slice()).is_err(), "it shrank");
    }
}
