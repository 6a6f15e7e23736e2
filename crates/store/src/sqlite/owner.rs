//! One owner process for each database file.
//!
//! SQLite itself lets several processes in, but signals, waiting callers and the write queue live in the owner's
//! memory. The lock is on a file beside the database, so the kernel drops it when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::Error;

/// Of what is made here: inputs, outputs and the hashes of keys are nobody else's. What is there keeps its mode.
const MODE: u32 = 0o600;

/// Holds the lock as long as it lives.
#[derive(Debug)]
pub(super) struct Owner {
    _file: File,
}

impl Owner {
    pub(super) fn acquire(database: &Path) -> Result<Self, Error> {
        let path = lock_path(database);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .open(&path)
            .map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).map_err(unavailable)?;
                file.rewind().map_err(unavailable)?;
                write!(file, "{}", std::process::id()).map_err(unavailable)?;
                make_if_missing(database)?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner).map_err(unavailable)?;
                Err(Error::Owned {
                    path: database.display().to_string(),
                    owner: if owner.is_empty() {
                        "(starting)".to_owned()
                    } else {
                        owner
                    },
                })
            }
            Err(TryLockError::Error(error)) => Err(unavailable(error)),
        }
    }
}

/// An empty file is a database. SQLite itself would let everyone read it, and gives the files beside it, such as the
/// write-ahead log, the mode that it has.
fn make_if_missing(database: &Path) -> Result<(), Error> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(database)
    {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(unavailable(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// `<database>.lock`
fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn unavailable(error: std::io::Error) -> Error {
    Error::Unavailable(sqlx::Error::Io(error))
}
