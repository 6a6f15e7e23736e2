//! Removing a folder, whatever a program made of it.
//!
//! Neither depth nor length is bounded for a program: it may make folders in each other until the disk is full, and the path
//! of the innermost is longer than any call takes. So there is no walk down here, which would need a descriptor, and a part
//! of the stack, for each level. What is in a folder in the top one is moved up to be in the top one itself.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmod, fchmod, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// How often is looked whether all is gone: some file systems pass over entries while others go.
const LOOKS: u32 = 100;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes the folder with all in it. At no time more than a few files are open for it.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let top = open(CWD, path)?;
    let mut moved = 0;
    for _ in 0..LOOKS {
        empty(&top, &mut moved)?;
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => return removed,
        }
    }
    Err(io::ErrorKind::DirectoryNotEmpty.into())
}

fn empty(top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    let mut waiting = remove_files(top)?;
    while let Some(name) = waiting.pop() {
        let folder = match open(top.as_fd(), &name) {
            // Another one has its place, and took its turn.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        for inner in remove_files(&folder)? {
            waiting.push(move_up(&folder, &inner, top, moved)?);
        }
        match unlinkat(top, &name, AtFlags::REMOVEDIR) {
            // The next look finds it.
            Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Removes the files of a folder, and the folders in it that are empty. Returns the names of the others.
fn remove_files(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut folders = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let removed = if entry.file_type() == FileType::Directory {
            unlinkat(folder, name, AtFlags::REMOVEDIR)
        } else {
            unlinkat(folder, name, AtFlags::empty())
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => {}
            // The last one of a folder whose kind the file system did not say.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR) => folders.push(name.to_owned()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(folders)
}

/// Gives a folder a name in the top one, which is returned.
fn move_up(folder: &OwnedFd, name: &CStr, top: &OwnedFd, moved: &mut u64) -> io::Result<CString> {
    // One that gets another parent is written to, which a program may have forbidden.
    drop(open(folder.as_fd(), name)?);
    loop {
        *moved += 1;
        let to = CString::new(moved.to_string())?;
        match renameat(folder, name, top, &to) {
            Ok(()) => return Ok(to),
            // A program has something of this name there.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens a folder, of which its owner may do everything from then on: a program may have taken the rights away from itself.
fn open(parent: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy) -> io::Result<OwnedFd> {
    let opened = match openat(parent, name, FOLDER | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // Through a descriptor, and not by the name again, which might lead elsewhere.
            let found = openat(parent, name, FOLDER | OFlags::PATH, Mode::empty())?;
            chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), Mode::RWXU)?;
            openat(parent, name, FOLDER | OFlags::RDONLY, Mode::empty())?
        }
        opened => opened?,
    };
    if !Mode::from_raw_mode(fstat(&opened)?.st_mode).contains(Mode::RWXU) {
        fchmod(&opened, Mode::RWXU)?;
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::mkdirat;

    use super::*;

    fn nest(folder: &Path, name: &str, levels: u32) {
        let mut at = openat(CWD, folder, FOLDER, Mode::empty()).expect("it is there");
        for _ in 0..levels {
            mkdirat(&at, name, Mode::RWXU).expect("made");
            at = openat(&at, name, FOLDER, Mode::empty()).expect("it is there");
        }
    }

    /// As deep as no walk down comes with the stack of a thread, nor any path.
    #[test]
    fn depth_is_no_hindrance() {
        let base = tempfile::tempdir().expect("a folder");
        let folder = base.path().join("folder");
        fs::create_dir_all(folder.join("1/2/3")).expect("made");
        fs::write(folder.join("2"), "in the way").expect("written");
        nest(&folder, "deep", 30_000);
        nest(&folder, &"long".repeat(60), 100);
        nest(&folder.join("1/2/3"), "4", 100);
        remove(&folder).expect("removed");
        assert!(!folder.exists());
    }

    #[test]
    fn nothing_is_taken_for_a_folder_that_is_none_and_rights_are_taken_back() {
        let base = tempfile::tempdir().expect("a folder");
        let beside = base.path().join("beside");
        fs::create_dir(&beside).expect("made");
        fs::write(beside.join("file"), "stays").expect("written");
        let folder = base.path().join("folder");
        fs::create_dir_all(folder.join("closed/inner/innermost")).expect("made");
        for link in ["link", "closed/inner/link"] {
            symlink(&beside, folder.join(link)).expect("linked");
        }
        for closed in ["closed/inner/innermost", "closed/inner", "closed", ""] {
            fs::set_permissions(folder.join(closed), Permissions::from_mode(0o000)).expect("taken away");
        }
        remove(&folder).expect("removed");
        assert!(!folder.exists());
        assert_eq!(fs::read_to_string(beside.join("file")).expect("it is there"), "stays");
        let missing = remove(&folder).expect_err("it is gone");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
