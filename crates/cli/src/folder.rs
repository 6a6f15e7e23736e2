//! The folder of `dev`, taken away again by a start that fails: who tried it on a port that was taken finds nothing new.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What this start has made.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// It and those above it that were not there, the innermost first.
    made: Vec<PathBuf>,
}

impl Folder {
    /// Makes the folder for its user alone: the key and every task are in it. One that is there is left as it is.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let above = path.ancestors().filter(|above| !above.as_os_str().is_empty());
        let missing: Vec<&Path> = above.take_while(|above| !above.exists()).collect();
        let mut made = Vec::new();
        for folder in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(folder) {
                Ok(()) => made.insert(0, folder.to_owned()),
                // Another start was faster, and it is that one's.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            path: path.to_owned(),
            made,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes away what was made, unless somebody else has put something there, or uses what is there: whoever does holds
    /// the lock. Of a folder that was there before, nothing: what is in it may be yesterday's.
    pub(crate) fn take_back(self, lock: &str, files: &[&str]) {
        if self.made.is_empty() {
            return;
        }
        // Made where this start did not come so far, and held until the files are gone: nobody begins to use them meanwhile.
        let place = self.path.join(lock);
        let held = File::options().create(true).append(true).open(&place);
        if !held.as_ref().is_ok_and(|lock| lock.try_lock().is_ok()) {
            return;
        }
        let _ = fs::remove_file(place);
        for file in files {
            // Some were not made yet.
            let _ = fs::remove_file(self.path.join(file));
        }
        for folder in self.made {
            // Not one with something else in it.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_and_what_was_there_stays() {
        let base = tempfile::tempdir().expect("a folder");
        let (outer, inner) = (base.path().join("a"), base.path().join("a/b"));
        let folder = Folder::open(&inner).expect("made");
        fs::write(inner.join("key"), "k").expect("written");
        folder.take_back("lock", &["key", "nothing"]);
        assert!(!outer.exists());

        fs::create_dir(&outer).expect("made");
        let folder = Folder::open(&inner).expect("made");
        folder.take_back("lock", &[]);
        assert!(outer.exists() && !inner.exists());

        let folder = Folder::open(&outer).expect("it is there");
        fs::write(outer.join("key"), "k").expect("written");
        folder.take_back("lock", &["key"]);
        assert!(outer.join("key").exists(), "it may be yesterday's");

        let folder = Folder::open(&inner).expect("made");
        fs::write(inner.join("mine"), "m").expect("written");
        folder.take_back("lock", &["key"]);
        assert!(inner.join("mine").exists());
    }

    #[test]
    fn what_somebody_else_uses_by_now_stays() {
        let base = tempfile::tempdir().expect("a folder");
        let inner = base.path().join("a");
        let folder = Folder::open(&inner).expect("made");
        fs::write(inner.join("key"), "k").expect("written");
        let lock = File::create(inner.join("lock")).expect("made");
        lock.lock().expect("nobody else has it");
        folder.take_back("lock", &["key"]);
        assert!(inner.join("key").exists() && inner.join("lock").exists());
    }
}
