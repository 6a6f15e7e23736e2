# Before every attempt: what was possible is a hole, and the result is the list of holes. `LEVEL` and what else is known of the
# machine stand before this. What only `full` keeps from a program is no hole at `landlock`, see docs/sandbox.md.
import ctypes, errno, os, resource, signal, socket, stat, struct, subprocess, sys, threading, time

FULL = LEVEL == "full"
# The only place to write to.
HOME = os.environ["HOME"]
OWN = os.path.dirname(HOME)
TEMPORARY = os.environ["TMPDIR"]

holes = []
libc = ctypes.CDLL(None, use_errno=True)


def hole(what):
    holes.append(what)


def possible(what, action):
    try:
        result = action()
    except (OSError, PermissionError, ValueError, subprocess.SubprocessError):
        return None
    hole(f"{what}: {result!r}"[:200])
    return result


# For what leaves a trace on the machine, which is looked for there: a call may also do nothing and say so to nobody.
def tried(*actions):
    for action in actions:
        try:
            action()
        except OSError:
            pass


def call(what, number, *arguments):
    ctypes.set_errno(0)
    if libc.syscall(number, *arguments) != -1:
        hole(what)


def read(path):
    with open(path, "rb") as file:
        return file.read(200)


# Made if it is not there. Nothing is written: at `landlock` it would be the machine's.
def write(path):
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    return "opened"
