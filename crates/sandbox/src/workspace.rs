//! Where programs have their folders when they have no disk of their own: one for each run, gone when it ends.
//!
//! ```text
//!   <work folder>/orchestratum-worker-<process id>-<random>/   of one worker; `lock` is locked as long as it lives
//!     <random>/           0700: the program's files
//!       home/             where it starts, and its HOME
//!       tmp/, shm/        its TMPDIR, and what /dev/shm is in a cell
//! ```

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::shim::make_folders;
use crate::{Error, folder_removal};

const PREFIX: &str = "orchestratum-worker-";
const LOCK: &str = "lock";
const LOCK_IN_THE_MAKING: &str = "lock.new";

#[derive(Debug)]
pub(crate) struct Workspace {
    folder: PathBuf,
    /// Replaced where the folder had to be made anew.
    lock: Mutex<File>,
}

impl Workspace {
    /// Makes the folder of this worker, and removes those of workers that are dead.
    pub(crate) fn create(base: Option<&Path>) -> Result<Self, Error> {
        let base = base.map_or_else(std::env::temp_dir, Path::to_owned);
        Self::create_in(&base).map_err(|source| Error::Workspace {
            folder: base.display().to_string(),
            source,
        })
    }

    fn create_in(base: &Path) -> io::Result<Self> {
        fs::create_dir_all(base)?;
        sweep(base);
        // A random name, made with mode 0700: nobody can have put something there before.
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(base)?;
        let lock = Mutex::new(locked(folder.path())?);
        // It goes as every other folder that programs had, and not as one that holds nothing unusual.
        Ok(Self {
            folder: folder.keep(),
            lock,
        })
    }

    /// Removes the folders of workers that were killed, beside that of this one.
    pub(crate) fn remove_those_of_the_dead(&self) {
        if let Some(base) = self.folder.parent() {
            sweep(base);
        }
    }

    /// Makes the folder again after somebody cleaned up under a worker that lives.
    fn make_again(&self) -> io::Result<()> {
        // Attempts that find it gone at the same time do it once.
        let mut lock = self.lock.lock();
        match private_folder().create(&self.folder) {
            Ok(()) => {
                tracing::warn!(folder = %self.folder.display(), "the folder of this worker was gone");
                *lock = locked(&self.folder)?;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A folder for a run.
    pub(crate) fn prepare(&self) -> Result<RunFolder, Error> {
        self.prepare_folder().map_err(|source| Error::Workspace {
            folder: self.folder.display().to_string(),
            source,
        })
    }

    fn prepare_folder(&self) -> io::Result<RunFolder> {
        let path = self.folder.join(random_name());
        let private = private_folder();
        match private.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_again()?;
                private.create(&path)?;
            }
            made => made?,
        }
        let folder = RunFolder { path };
        make_folders(&folder.path)?;
        Ok(folder)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn private_folder() -> DirBuilder {
    let mut folder = DirBuilder::new();
    folder.mode(0o700);
    folder
}

/// Makes the lock of a folder. It has its name only once it is locked: in between, another worker would take the folder
/// for a dead one's.
fn locked(folder: &Path) -> io::Result<File> {
    let in_the_making = folder.join(LOCK_IN_THE_MAKING);
    let lock = File::create_new(&in_the_making)?;
    lock.lock()?;
    fs::rename(in_the_making, folder.join(LOCK))?;
    Ok(lock)
}

/// A worker that was killed leaves its folder. Its lock is free then; a process id alone would say nothing where
/// several machines or containers share the folder.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_folder || !is_ours {
            continue;
        }
        // Without a lock it has just been made, or belongs to someone else.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            tracing::info!(folder = %entry.path().display(), "the folder of a dead worker is removed");
            remove(&entry.path());
        }
    }
}

/// The folder of one run. It goes when it is dropped; [`remove`](Self::remove) does not hold up the runtime.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Unique on this machine.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub(crate) async fn remove(self) {
        // Also when the runtime is going down: dropped is removed.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Unique on this machine: the hasher's keys are random, and nothing depends on them being unguessable.
fn random_name() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

fn remove(path: &Path) {
    if let Err(error) = folder_removal::remove(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %path.display(), %error, "a working directory cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folders(base: &Path) -> usize {
        fs::read_dir(base).expect("it is there").count()
    }

    #[test]
    fn the_folder_of_a_dead_worker_goes_and_that_of_a_living_one_stays() {
        let base = tempfile::tempdir().expect("a folder");
        let living = Workspace::create(Some(base.path())).expect("a workspace");
        let dead = base.path().join("orchestratum-worker-1-abc");
        fs::create_dir_all(dead.join("task/home")).expect("made");
        fs::write(dead.join(LOCK), "").expect("written");
        fs::set_permissions(dead.join("task/home"), Permissions::from_mode(0o000)).expect("taken away");
        fs::create_dir(base.path().join("something else")).expect("made");
        let next = Workspace::create(Some(base.path())).expect("a workspace");
        assert!(!dead.exists());
        fs::create_dir_all(&dead).expect("made");
        fs::write(dead.join(LOCK), "").expect("written");
        next.remove_those_of_the_dead();
        assert!(!dead.exists(), "also of one that died later");
        assert!(next.folder.exists());
        assert!(living.folder.exists());
        assert_eq!(folders(base.path()), 3);
        drop((living, next));
        assert_eq!(folders(base.path()), 1);
    }

    #[test]
    fn a_folder_that_is_gone_is_made_again_with_its_lock() {
        let base = tempfile::tempdir().expect("a folder");
        let living = Workspace::create(Some(base.path())).expect("a workspace");
        fs::remove_dir_all(&living.folder).expect("removed");
        living.make_again().expect("made");
        living.make_again().expect("it is there");
        let _next = Workspace::create(Some(base.path())).expect("a workspace");
        assert!(living.folder.join(LOCK).exists(), "it is locked, so nobody sweeps it");
    }
}
