# S15: other users and rights.
possible("user 0", lambda: os.setuid(0))
possible("user 12345", lambda: os.setresuid(12345, 12345, 12345))
possible("groups", lambda: os.setgroups([0]))
if "CapEff:\t0000000000000000" not in open("/proc/self/status").read():
    hole("capabilities")
if "NoNewPrivs:\t1" not in open("/proc/self/status").read():
    hole("new privileges")
if FULL and os.geteuid() != 1000:
    hole("a user of the machine")
# S16: namespaces, mounts, roots.
for name, flag in (("user", 0x10000000), ("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000)):
    call(f"unshare {name}", 272, flag)
    call(f"clone {name}", 56, flag | 17, 0, 0, 0, 0)
call("clone as a child of somebody else", 56, 0x8000 | 17, 0, 0, 0, 0)
for family in (30, 40):
    possible(f"a pair of family {family}", lambda: socket.socketpair(family))
# Their protocols are modules, which the kernel loads when they are asked for.
for kind, protocol in ((socket.SOCK_STREAM, 132), (socket.SOCK_SEQPACKET, 132), (socket.SOCK_STREAM, 256), (socket.SOCK_DGRAM, 115)):
    possible(f"protocol {protocol}", lambda: socket.socket(socket.AF_INET, kind, protocol))
call("clone3", 435, ctypes.create_string_buffer(88), 88)
call("setns", 308, 0, 0)
call("mount", 165, b"tmpfs", TEMPORARY.encode(), b"tmpfs", 0, 0)
call("umount", 166, OWN.encode(), 2)
call("umount /proc", 166, b"/proc", 2)
call("pivot_root", 155, OWN.encode(), TEMPORARY.encode())
call("chroot", 161, OWN.encode())
call("move_mount", 429, -100, b"/proc", -100, TEMPORARY.encode(), 0)
call("fsopen", 430, b"tmpfs", 0)
call("open_tree", 428, -100, b"/", 1)
call("mount_setattr", 442, -100, b"/", 0, 0, 0)
# S28: limits of who keeps this one, and of the next task.
call("limits of process 1", 302, 1, 0, 0, 0)
# S21: the large gates of the kernel.
for name, number, arguments in (
    ("io_uring_setup", 425, (8, ctypes.create_string_buffer(256))),
    ("bpf", 321, (0, ctypes.create_string_buffer(128), 128)),
    ("perf_event_open", 298, (ctypes.create_string_buffer(128), 0, -1, -1, 0)),
    ("userfaultfd", 323, (0,)),
    ("keyctl", 250, (0, -3, 1)),
    ("add_key", 248, (b"user", b"x", b"y", 1, -3)),
    ("request_key", 249, (b"user", b"x", 0, -3)),
    ("kexec_load", 246, (0, 0, 0, 0)),
    ("init_module", 175, (0, 0, b"")),
    ("finit_module", 313, (0, b"", 0)),
    ("personality", 135, (0x0040000,)),
    ("quotactl", 179, (0, 0, 0, 0)),
    ("acct", 163, (0,)),
    ("swapon", 167, (TEMPORARY.encode(), 0)),
    ("reboot", 169, (0, 0, 0, 0)),
    ("open_by_handle_at", 304, (0, 0, 0)),
    ("shmget", 29, (0, 4096, 0o1600)),
    ("msgget", 68, (0, 0o1600)),
    ("semget", 64, (0, 1, 0o1600)),
    ("mq_open", 240, (b"x", 0o102, 0o600, 0)),
):
    call(name, number, *arguments)
# S20: typing into a terminal.
for request in (0x5412, 0x541C):
    call(f"ioctl {request:#x}", 16, 0, request, b"x")
    call(f"ioctl {request:#x} with more bits", 16, 0, ctypes.c_ulong(request | 1 << 40), b"x")
# S27: system calls by number, also those of the x32 and 32-bit interfaces.
call("x32 getpid", 0x40000000 | 39)
call("x32 ptrace", 0x40000000 | 521, 0, 0, 0, 0)
