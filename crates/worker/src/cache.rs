//! What a worker makes once for its programs, and keeps for all workers of its user.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};
use sha2::{Digest, Sha256};

/// A folder that nobody else may write to.
#[derive(Debug)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    /// The folder that is configured as `setting`, or the usual one. Made where it is missing.
    pub(crate) fn open(configured: Option<&Path>, setting: &str) -> Result<Self, String> {
        let folder = configured.map_or_else(|| usual(setting), |folder| Ok(folder.to_owned()))?;
        let told = |error: io::Error| format!("{}: {error}", folder.display());
        // Readable for all: programs may have another user.
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&folder);
        made.map_err(told)?;
        // Nobody can lead a link on the way elsewhere once it was looked at.
        let folder = folder.canonicalize().map_err(told)?;
        is_ours(&folder)?;
        Ok(Self(folder))
    }

    /// Whether it has a folder of this name.
    ///
    /// # Errors
    /// Where that is not of this user, or of whoever may do anything on this machine: what lies there is run by the tasks of
    /// everybody.
    pub(crate) fn has(&self, name: &str) -> Result<bool, String> {
        let folder = self.0.join(name);
        match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => is_ours(&folder).map(|()| true),
            Ok(_) => Err(format!("{} is no folder", folder.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.told(&error)),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// What went wrong there.
    pub(crate) fn told(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.0.display())
    }
}

/// Whether nobody else can put something there.
fn is_ours(folder: &Path) -> Result<(), String> {
    let found = fs::metadata(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let found = Access {
        user: found.uid(),
        group: found.gid(),
        mode: found.mode(),
    };
    let trouble = found.trouble(geteuid().as_raw(), getegid().as_raw());
    trouble.map_or(Ok(()), |trouble| Err(format!("{} {trouble}", folder.display())))
}

/// Who may do what with a folder.
#[derive(Debug, Clone, Copy)]
struct Access {
    user: u32,
    group: u32,
    mode: u32,
}

impl Access {
    /// Why it is not that of this user alone, or of root.
    fn trouble(self, user: u32, group: u32) -> Option<&'static str> {
        const ROOT: u32 = 0;
        const WRITABLE_FOR_GROUP: u32 = 0o020;
        const WRITABLE_FOR_OTHERS: u32 = 0o002;
        let may_be_written = |by: u32| self.mode & by != 0;
        if self.user != user && self.user != ROOT {
            return Some("belongs to somebody else");
        }
        if may_be_written(WRITABLE_FOR_OTHERS) {
            return Some("may be written to by anybody");
        }
        // Users may have a group of their own, and containers a user that is only known by the group of root.
        if may_be_written(WRITABLE_FOR_GROUP) && self.group != group && self.group != ROOT {
            return Some("may be written to by a group");
        }
        None
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
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_that_anybody_may_write_to_is_refused() {
        let base = tempfile::tempdir().expect("a folder");
        let base = base.path().canonicalize().expect("it is there");
        let folder = base.join("a/b");
        let open = || Cache::open(Some(&folder), "worker.cache").map(|cache| cache.folder().to_owned());
        assert_eq!(open(), Ok(folder.clone()));
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("it is ours");
        assert!(open().is_err_and(|reason| reason.ends_with("/a/b may be written to by anybody")));
    }

    #[test]
    fn what_others_may_have_put_there_is_refused_too() {
        let base = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(Some(base.path()), "worker.cache").expect("it is ours");
        assert_eq!(cache.has("made"), Ok(false));
        let made = base.path().join("made");
        fs::create_dir(&made).expect("made");
        assert_eq!(cache.has("made"), Ok(true));
        fs::set_permissions(&made, Permissions::from_mode(0o757)).expect("it is ours");
        assert!(cache.has("made").is_err_and(|reason| reason.ends_with("by anybody")));
        symlink(&made, base.path().join("linked")).expect("linked");
        assert!(
            cache
                .has("linked")
                .is_err_and(|reason| reason.ends_with("is no folder"))
        );
    }

    #[test]
    fn a_folder_is_the_users_or_roots_and_written_by_their_group_at_most() {
        let (me, mine, other) = (1_000, 1_001, 1_002);
        for (user, group, mode, trouble) in [
            (me, mine, 0o755, None),
            (me, mine, 0o775, None),
            (me, other, 0o755, None),
            (me, other, 0o775, Some("may be written to by a group")),
            (me, mine, 0o757, Some("may be written to by anybody")),
            (me, mine, 0o1777, Some("may be written to by anybody")),
            (0, 0, 0o755, None),
            (0, 0, 0o775, None),
            (other, other, 0o755, Some("belongs to somebody else")),
            (other, mine, 0o700, Some("belongs to somebody else")),
        ] {
            let access = Access { user, group, mode };
            assert_eq!(access.trouble(me, mine), trouble, "{access:?}");
        }
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
