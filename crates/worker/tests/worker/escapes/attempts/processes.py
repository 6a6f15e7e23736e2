# S3: other processes, by /proc. At `full` those outside have no numbers here.
if FULL:
    mine = {str(os.getpid()), "1"}
    for name in os.listdir("/proc"):
        if name.isdigit() and name not in mine:
            hole(f"process {name} is seen")
else:
    possible("list /proc", lambda: os.listdir("/proc"))
others = {1, os.getppid(), CANARY_PROCESS} - {0, os.getpid()}
for pid in others:
    for file in ("environ", "mem", "maps", "root/etc", "cwd", "fd", "stack", "syscall"):
        path = f"/proc/{pid}/{file}"
        possible(f"open {path}", lambda: os.listdir(path) if os.path.isdir(path) else read(path))
for path in ("/proc/kcore", "/proc/kmsg", "/sys/kernel", "/proc/sysrq-trigger", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda"):
    possible(f"open {path}", lambda: os.listdir(path) if os.path.isdir(path) else read(path))
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", *(f"/proc/{pid}/oom_score_adj" for pid in others)):
    possible(f"write {path}", lambda: write(path))
# S4: the environment.
for name in os.environ:
    if any(word in name + os.environ[name] for word in ("DATABASE", "BROKER", "AUTH", "SECRET", "PASSWORD", "canary")):
        hole(f"variable {name}")
# S13: signals to others, where the kernel keeps them inside. To all that it may is to nobody but itself, which would end here.
if SIGNALS_KEPT:
    for pid in (others | {2} if FULL else others) - {os.getpid()}:
        possible(f"signal {pid}", lambda: os.kill(pid, signal.SIGSTOP) or "sent")
# S14: looking into others.
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
for pid in others:
    call(f"ptrace {pid}", 101, PTRACE_ATTACH, pid, 0, 0)
    call(f"ptrace {pid}", 101, PTRACE_SEIZE, pid, 0, 0)
buffer = ctypes.create_string_buffer(64)
vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 64)
for number in (310, 311):
    call("process_vm", number, os.getpid(), vector, 1, vector, 1, 0)
call("pidfd_getfd", 438, 0, 0, 0)
call("kcmp", 312, 1, 1, 0, 0, 0)
# S19: open files and the working directory of others.
for number in range(0, 256):
    try:
        target = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        continue
    if target.startswith(("/", "socket:")) and not target.startswith(("/dev/null", "/memfd", "/proc", OWN, "/dev/urandom")):
        hole(f"file {number} is {target}")
if os.getcwd() != HOME or FULL and OWN != "/run/task":
    hole(os.getcwd())
# S28: priority, limits, the clock; of others, and of all processes of its user at once.
possible("nicer", lambda: os.nice(-5))
own_priority = os.getpriority(os.PRIO_PROCESS, 0)
possible("the priority of a user", lambda: os.setpriority(os.PRIO_USER, 0, own_priority + 1) or "set")
# It may be refused for some of them, and done to the others.
if os.getpriority(os.PRIO_PROCESS, 0) != own_priority:
    hole("the priority of a user is that of all its processes")
for pid in others - {1}:
    possible(f"the priority of {pid}", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19) or "set")
    possible(f"the processors of {pid}", lambda: os.sched_setaffinity(pid, {0}) or "set")
    possible(f"the limits of {pid}", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (9, 9)))
for which, who in ((1, CANARY_PROCESS), (3, 0)):
    call(f"the priority at the disk of {who}", 251, which, who, 2 << 13 | 7)
for limit in (0, 1 << 20):
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
    if resource.getrlimit(resource.RLIMIT_CORE) != (1, 1):
        hole("core dumps")
possible("the clock", lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
possible("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10)))
