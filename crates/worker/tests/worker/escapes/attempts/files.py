# S1: files of the machine.
for path in ("/etc/shadow", "/etc/hostname", "/etc/machine-id", "/var/log/dpkg.log", CANARY_FILE):
    possible(f"read {path}", lambda: read(path))
for folder in (os.path.join("/root", ".ssh"), "/home", "/var/lib", "/var/log", "/mnt", "/boot", "/opt", "/srv", CANARY_FOLDER):
    possible(f"list {folder}", lambda: os.listdir(folder))
# S2: what others use, changed.
for path in ("/etc/hosts", "/etc/resolv.conf", "/etc/passwd", sys.executable, os.__file__, "/usr/bin/env", "/etc/ssl/certs/x"):
    possible(f"write {path}", lambda: write(path))
for folder in ("/", "/etc", "/usr/bin", "/usr/lib", "/dev", "/proc", "/run", "/var", os.path.dirname(os.__file__)):
    possible(f"make a file in {folder}", lambda: write(folder + "/made-by-a-task"))
    possible(f"open up {folder}", lambda: os.chmod(folder, 0o777))
possible("remove a program", lambda: os.unlink("/usr/bin/env"))
possible("rename a folder", lambda: os.rename("/usr/lib", "/usr/lib2"))
# S17, S18: links and devices where somebody else may read later.
possible("a hard link to a file of the machine", lambda: os.link("/etc/passwd", "passwd"))
possible("a device", lambda: os.mknod("device", stat.S_IFBLK | 0o666, os.makedev(8, 0)))
os.symlink("/etc/shadow", "shadow")
possible("a symbolic link to a file of the machine", lambda: read("shadow"))
# S22: the program that keeps this one, and the interpreter.
for path in ("/proc/self/exe", "/proc/1/exe", f"/proc/{os.getppid()}/exe"):
    possible(f"write {path}", lambda: write(path))
