# What is shown of the machine's /tmp is behind a link in the program's own, and that may be removed.
SHOWN_FILE = os.path.realpath(SHOWN_FILE)
# S1: files of the machine.
for path in ("/etc/shadow", "/etc/hostname", "/etc/machine-id", "/var/log/dpkg.log", CANARY_FILE):
    possible(f"read {path}", lambda: read(path))
for folder in (os.path.join("/root", ".ssh"), "/home", "/var/lib", "/var/log", "/mnt", "/boot", "/opt", "/srv", CANARY_FOLDER):
    # On the way to what is shown there is a folder at `full`, with nothing else in it.
    if not any(shown.startswith(folder + "/") for shown in (SHOWN_FILE, sys.executable, sys.prefix)):
        possible(f"list {folder}", lambda: os.listdir(folder))
# S2: what others use, changed.
for path in ("/etc/hosts", "/etc/resolv.conf", "/etc/passwd", sys.executable, os.__file__, "/usr/bin/env", "/etc/ssl/certs/x"):
    possible(f"write {path}", lambda: write(path))
for path in (CANARY_FILE, SHOWN_FILE):
    possible(f"write {path}", lambda: write(path))
for folder in ("/", "/etc", "/usr/bin", "/usr/lib", "/dev", "/proc", "/run", "/var", os.path.dirname(os.__file__), CANARY_FOLDER):
    possible(f"make a file in {folder}", lambda: write(folder + "/made-by-a-task"))
if FULL:
    for folder in ("/", "/etc", "/usr/bin", "/usr/lib", "/dev", "/proc", "/run", "/var"):
        possible(f"open up {folder}", lambda: os.chmod(folder, 0o777))
    possible("remove a program", lambda: os.unlink("/usr/bin/env"))
    possible("rename a folder", lambda: os.rename("/usr/lib", "/usr/lib2"))
else:
    # There is no root of its own: it would be the machine's.
    for folder in ("/", "/etc", "/dev", "/proc", "/tmp", os.path.dirname(OWN)):
        possible(f"list {folder}", lambda: os.listdir(folder))
    for folder in ("/tmp", "/var/tmp", "/dev/shm", os.path.dirname(OWN)):
        possible(f"make a file in {folder}", lambda: write(folder + "/made-by-a-task"))
    call("a watch over what others make", 294, 0)
for path in (CANARY_FILE, SHOWN_FILE):
    possible(f"remove {path}", lambda: os.unlink(path))
    possible(f"take {path}", lambda: os.rename(path, "taken"))
    possible(f"a hard link to {path}", lambda: os.link(path, "linked"))
    # Emptied without being written to.
    possible(f"cut {path}", lambda: os.truncate(path, 0))
    for way in (os.O_RDONLY, os.O_ACCMODE):
        possible(f"empty {path}", lambda: os.open(path, way | os.O_TRUNC))
    call(f"empty {path} by openat2", 437, -100, path.encode(), struct.pack("QQQ", os.O_TRUNC, 0, 0), 24)
possible("rename a folder of others", lambda: os.rename(CANARY_FOLDER, CANARY_FOLDER + "-taken"))
# Modes, owners, times and attributes, which Landlock does not guard. Whether they changed is seen on the machine.
user, group = os.geteuid(), os.getegid()
os.symlink(CANARY_FILE, "leads-out")
for path in (CANARY_FILE, CANARY_FOLDER, SHOWN_FILE, os.path.dirname(OWN), "leads-out"):
    tried(
        lambda: os.chmod(path, 0o777),
        lambda: os.chown(path, user, group),
        lambda: os.lchown(path, user, group),
        lambda: os.utime(path, (0, 0)),
        lambda: os.utime(path, (0, 0), follow_symlinks=False),
        lambda: os.setxattr(path, "user.task", b"x"),
    )
    try:
        # No right is needed for that.
        number = os.open(path, os.O_PATH)
    except OSError:
        continue
    by_number = f"/proc/self/fd/{number}"
    tried(
        lambda: os.chmod(by_number, 0o777),
        lambda: os.utime(by_number, (0, 0)),
        lambda: os.chmod("canary", 0o777, dir_fd=number),
        lambda: os.utime("canary", (0, 0), dir_fd=number),
        lambda: os.fchmod(number, 0o777),
        lambda: libc.syscall(452, number, b"", 0o777, 0x1000),
        lambda: libc.syscall(280, number, b"", bytes(32), 0x1000),
    )
number = os.open(SHOWN_FILE, os.O_RDONLY)
tried(
    lambda: os.fchmod(number, 0o777),
    lambda: os.fchown(number, user, group),
    lambda: os.utime(number, (0, 0)),
    lambda: os.setxattr(number, "user.task", b"x"),
    lambda: os.ftruncate(number, 0),
)
# Whoever looks where a path leads and then follows it follows another one.
write("own")
os.symlink(CANARY_FILE, "other")
swapping = True


def swap():
    while swapping:
        libc.syscall(316, -100, b"own", -100, b"other", 2)


swapper = threading.Thread(target=swap)
swapper.start()
until = time.monotonic() + 0.5
while time.monotonic() < until:
    tried(lambda: os.chmod("own", 0o777), lambda: os.utime("own", (0, 0)))
swapping = False
swapper.join()
# S17, S18: links and devices where somebody else may read later.
possible("a hard link to a file of the machine", lambda: os.link("/etc/passwd", "passwd"))
possible("a device", lambda: os.mknod("device", stat.S_IFBLK | 0o666, os.makedev(8, 0)))
os.symlink("/etc/shadow", "shadow")
possible("a symbolic link to a file of the machine", lambda: read("shadow"))
possible("a symbolic link to a canary", lambda: read("leads-out"))
# S22: the program that keeps this one, and the interpreter.
for path in ("/proc/self/exe", "/proc/1/exe", f"/proc/{os.getppid()}/exe"):
    possible(f"write {path}", lambda: write(path))
