//! What a mount allows (`mount_setattr(2)`, Linux 5.12, which Landlock is younger than).

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How far a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// This mount, and not what is mounted below it.
    One,
    All,
}

/// Nothing is written, no program gets rights by its file, and no file is a device. What a mount forbids already stays
/// forbidden, which a user namespace insists on.
#[expect(unsafe_code, reason = "no safe interface has this call")]
pub(super) fn make_read_only(at: &Path, reach: Reach) -> io::Result<()> {
    let path = CString::new(at.as_os_str().as_bytes())?;
    let flags = match reach {
        Reach::One => 0,
        Reach::All => libc::AT_RECURSIVE,
    };
    let change = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: both pointers are to values that live until the call returns, the path with its end, the change with its size;
    // the kernel only reads them.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const change,
            mem::size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
