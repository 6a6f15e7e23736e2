//! What is shown of the machine's folders for temporary files, of which every program has its own instead.
//!
//! ```text
//!   of the machine     in the root, read-only     in the folder of each program
//!   /tmp/venv          /shown/venv                /tmp/venv     ──► /shown/venv
//!   /var/tmp/a/b       /var/shown/a/b             /var/tmp/a/b  ──► /var/shown/a/b
//! ```
//!
//! So the folder is always the program's own, and what is shown is still found by its path. The right to read is that of the
//! place in the root: a program that removes a link hides something from itself, and the next one has another disk.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

const USUAL: [&str; 2] = ["/tmp", "/var/tmp"];

/// Beside the folder itself: a link out of what is shown, such as `../../usr/bin/python3`, leads where it led.
const NAME: &str = "shown";

/// Where programs have their own of everything, and where they have their own of the place itself.
const OWN: [&str; 5] = ["/dev", "/proc", "/run/task", "/shown", "/var/shown"];
const OWN_PLACES: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// The folder of every program that is where this would have to be shown.
pub(crate) fn stands_in_the_way(path: &Path) -> Option<&'static str> {
    // It is shown where it really is, too.
    let real = path.canonicalize();
    [Some(path), real.as_deref().ok()]
        .into_iter()
        .flatten()
        .find_map(|path| {
            let whole = OWN.into_iter().find(|own| path.starts_with(own));
            whole.or_else(|| OWN_PLACES.into_iter().find(|own| path == Path::new(own)))
        })
}

/// The machine's folders for temporary files, below its root: the usual ones and, where those are links, what they lead to.
#[derive(Debug)]
pub(super) struct Temporary(Vec<PathBuf>);

impl Temporary {
    pub(super) fn of_this_machine() -> Self {
        let usual = USUAL.map(PathBuf::from);
        let real = usual.iter().filter_map(|folder| folder.canonicalize().ok());
        Self::of(real.chain(usual.clone()))
    }

    fn of(folders: impl Iterator<Item = PathBuf>) -> Self {
        let below_root = folders.filter_map(|folder| Some(folder.strip_prefix("/").ok()?.to_owned()));
        let mut folders: Vec<PathBuf> = below_root.collect();
        folders.sort();
        folders.dedup_by(|inner, outer| inner.starts_with(outer));
        Self(folders)
    }

    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.0
    }

    /// What leads to something in them; `None` for what is elsewhere.
    pub(super) fn link(&self, below_root: &Path) -> Option<Link> {
        self.0.iter().find_map(|folder| {
            let name = below_root.strip_prefix(folder).ok()?;
            Some(Link {
                name: name.to_owned(),
                leads_to: folder.with_file_name(NAME).join(name),
            })
        })
    }
}

/// Leads from the folder for temporary files of a program to what is shown of the machine's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    name: PathBuf,
    /// Below the root.
    pub(super) leads_to: PathBuf,
}

impl Link {
    /// # Errors
    /// Also where `/tmp` and `/var/tmp` have the same name, which programs have one folder for.
    pub(crate) fn make_in(&self, folder: &Path) -> io::Result<()> {
        let at = folder.join(&self.name);
        let mut parents = DirBuilder::new();
        parents.recursive(true).mode(0o700);
        let made = at.parent().map_or(Ok(()), |parent| parents.create(parent));
        made.and_then(|()| symlink(Path::new("/").join(&self.leads_to), &at))
            .map_err(|error| io::Error::new(error.kind(), format!("a link to {}: {error}", self.name.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_folder_for_temporary_files_is_shown_beside_it() {
        let temporary = Temporary::of(["/var/tmp", "/tmp", "/mnt/fast/tmp"].map(PathBuf::from).into_iter());
        for (path, name, leads_to) in [
            ("tmp/venv", "venv", "shown/venv"),
            ("var/tmp/a/b", "a/b", "var/shown/a/b"),
            ("mnt/fast/tmp/a", "a", "mnt/fast/shown/a"),
        ] {
            let link = Link {
                name: name.into(),
                leads_to: leads_to.into(),
            };
            assert_eq!(temporary.link(Path::new(path)), Some(link), "{path}");
        }
        for elsewhere in ["tmpfiles/a", "opt/tmp/a", "var/lib"] {
            assert_eq!(temporary.link(Path::new(elsewhere)), None, "{elsewhere}");
        }
    }

    #[test]
    fn nothing_is_shown_where_programs_have_their_own() {
        for (path, own) in [
            ("/tmp", Some("/tmp")),
            ("/dev/shm/model", Some("/dev")),
            ("/run/task/home", Some("/run/task")),
            ("/run", Some("/run")),
            ("/shown/a", Some("/shown")),
            ("/tmp/a", None),
            ("/run/model", None),
            ("/device", None),
        ] {
            assert_eq!(stands_in_the_way(Path::new(path)), own, "{path}");
        }
    }
}
