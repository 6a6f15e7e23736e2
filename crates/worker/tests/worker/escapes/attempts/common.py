# Before every attempt: what was possible is a hole, and the result is the list of holes.
import ctypes, errno, os, resource, signal, socket, stat, subprocess, sys, time

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


def call(what, number, *arguments):
    ctypes.set_errno(0)
    if libc.syscall(number, *arguments) != -1:
        hole(what)


def read(path):
    with open(path, "rb") as file:
        return file.read(200)


def write(path):
    with open(path, "ab") as file:
        return file.write(b"x")
