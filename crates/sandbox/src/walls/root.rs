//! A root of its own: the machine's system, read-only.
//!
//! ```text
//!   /usr /bin /lib … /etc (a few files)   of the machine, read-only, without set-user-id and devices
//!   what was asked for                    likewise; where that is in `/tmp`, in `/shown` (see `shown`)
//!   /proc                                 of its own processes
//!   /dev                                  null, zero, full, random, urandom
//!   /run/task                             the disk of one program: home, tmp, shm; /tmp and /dev/shm lead there
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use super::landlock::DEVICES;
use super::mount_attributes::{Reach, make_read_only};
use super::shown::{Link, Temporary};

/// The folder in which the disk is mounted. The right to write is given to this one: the disk itself is a new one for
/// each program, which a rule made earlier could not name.
pub(crate) const RUN: &str = "/run";

/// The folders of the system, where there are such.
const SYSTEM: [&str; 10] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    // Not what is beside them: private keys.
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
];

/// What programs need of the machine's settings. The whole of `/etc` would be too much: it is where secrets are, too.
const SETTINGS: [&str; 10] = [
    "/etc/ssl/openssl.cnf",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ca-certificates",
];

/// The same for those that use the network.
const NETWORK_SETTINGS: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf"];

/// Who is who: nobody of the machine.
const USERS: [(&str, &str); 2] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/:/usr/sbin/nologin\ntask:x:1000:1000:task:/run/task/home:/bin/sh\n",
    ),
    ("etc/group", "root:x:0:\ntask:x:1000:\n"),
];

/// Where a machine's folders are while the new root is built. It only has to be there.
const STAGE: &str = "/tmp";

/// What programs may read of the machine, where there is such a thing. Folders come before what is in them.
pub(crate) fn readable(network: bool, own: &[PathBuf]) -> Vec<PathBuf> {
    let network: &[&str] = if network { &NETWORK_SETTINGS } else { &[] };
    let given = SYSTEM.iter().chain(&SETTINGS).chain(network).map(PathBuf::from);
    // A path may lead through links, which are shown as links.
    let real = own.iter().filter_map(|path| path.canonicalize().ok());
    let all = given.chain(own.iter().cloned()).chain(real);
    let mut there: Vec<PathBuf> = all.filter(|path| path.exists()).collect();
    there.sort_by_key(|path| path.components().count());
    there
}

/// Builds the root and enters it, with all processes of this namespace of mounts. Returns the links that each program needs to
/// find what it may read.
pub(crate) fn build(readable: &[PathBuf]) -> io::Result<Vec<Link>> {
    let temporary = Temporary::of_this_machine();
    // Nothing that is mounted here shows outside.
    remark(Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    small_disk(Path::new(STAGE), "size=1m,mode=755")?;
    chdir(STAGE)?;
    fs::create_dir("old")?;
    fs::create_dir("new")?;
    pivot_root(".", "old")?;
    chdir("/")?;
    small_disk(Path::new("/new"), "size=4m,mode=755")?;
    let mut root = Root {
        old: PathBuf::from("/old"),
        new: PathBuf::from("/new"),
        temporary,
        links: Vec::new(),
    };
    for path in readable {
        root.show(path)?;
    }
    root.devices()?;
    root.disk()?;
    // Still the machine's: the kernel allows a new one only where one is seen already.
    fs::create_dir(root.new.join("proc"))?;
    bind(Path::new("/old/proc"), &root.new.join("proc"))?;
    root.users()?;
    chdir("/new")?;
    pivot_root(".", ".")?;
    // Gone, with everything of the machine that was not shown: it is mounted below the root that is left. In one call, as each
    // waits until no processor looks at the old mounts any more.
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    make_read_only(Path::new("/"), Reach::One)?;
    Ok(root.links)
}

struct Root {
    old: PathBuf,
    new: PathBuf,
    temporary: Temporary,
    links: Vec<Link>,
}

impl Root {
    /// Shows a file or a folder of the machine at its place, or where a link leads to from there, read-only with all that is
    /// mounted below it.
    fn show(&mut self, path: &Path) -> io::Result<()> {
        let below = path.strip_prefix("/").map_err(io::Error::other)?;
        // A link on the way is shown as one. What it leads to is shown at its own place, if at all.
        let ancestors: Vec<&Path> = below.ancestors().collect();
        let is_link = |part: &&Path| self.old.join(part).is_symlink();
        let below = ancestors.iter().rev().copied().find(is_link).unwrap_or(below);
        if self.temporary.folders().iter().any(|folder| folder == below) {
            // One that leads to another, of which programs have their own, too.
            return Ok(());
        }
        let link = self.temporary.link(below);
        let place = link.as_ref().map_or(below, |link| link.leads_to.as_path());
        let (from, to) = (self.old.join(below), self.new.join(place));
        if [&self.new.join(below), &to]
            .iter()
            .any(|at| at.symlink_metadata().is_ok())
        {
            // It is in a folder that is shown already.
            return Ok(());
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        let kind = fs::symlink_metadata(&from)?.file_type();
        self.links.extend(link);
        if kind.is_symlink() {
            return symlink(fs::read_link(&from)?, to);
        }
        if kind.is_dir() {
            fs::create_dir(&to)?;
        } else {
            File::create(&to)?;
        }
        bind(&from, &to)?;
        make_read_only(&to, Reach::All)
    }

    fn devices(&self) -> io::Result<()> {
        fs::create_dir(self.new.join("dev"))?;
        for device in DEVICES {
            let below = device.trim_start_matches('/');
            let to = self.new.join(below);
            File::create(&to)?;
            bind(&self.old.join(below), &to)?;
        }
        for (name, leads_to) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("shm", "/run/task/shm"),
        ] {
            symlink(leads_to, self.new.join("dev").join(name))?;
        }
        Ok(())
    }

    /// The place of the disk, and what leads to it.
    fn disk(&self) -> io::Result<()> {
        fs::create_dir_all(self.new.join("run/task"))?;
        for folder in self.temporary.folders() {
            let at = self.new.join(folder);
            // Unless the whole of `/var` is shown, with what is in it.
            if at.symlink_metadata().is_err() {
                fs::create_dir_all(at.parent().unwrap_or(&self.new))?;
                symlink("/run/task/tmp", at)?;
            }
        }
        Ok(())
    }

    fn users(&self) -> io::Result<()> {
        fs::create_dir_all(self.new.join("etc"))?;
        for (path, text) in USERS {
            fs::write(self.new.join(path), text)?;
        }
        Ok(())
    }
}

/// Puts the processes of this namespace over those of the machine.
pub(crate) fn own_processes() -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)?)
}

/// A disk in memory, of a bounded size.
pub(crate) fn small_disk(at: &Path, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options))?)
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Ok(mount(Some(from), to, None::<&str>, flags, None::<&str>)?)
}

fn remark(at: &Path, flags: MsFlags) -> io::Result<()> {
    Ok(mount(None::<&str>, at, None::<&str>, flags, None::<&str>)?)
}
