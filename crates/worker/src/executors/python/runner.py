# Runs the code of `python` tasks: one (`runner.py REQUEST RESULT`), or many, each in a fork of this process (`serve`).
#
# A request is an object: `code`, `input`, `args`, and `mark`, which begins the answer. The answer goes to a file of its own
# whose number the code could guess; the mark it cannot, so standard output and lucky writes are no answers. The code runs in
# this process, so it decides what its result is; what it starts has neither the file nor the mark.
import array
import atexit
import gc
import json
import linecache
import os
import resource
import socket
import sys
import time
import traceback
import types


def compiled(source):
    # So that a traceback shows the lines of the code, which is in no file.
    linecache.cache["main.py"] = (len(source), None, source.splitlines(True), "main.py")
    return compile(source, "main.py", "exec", dont_inherit=True)


def execute(code, request):
    sys.argv = ["main.py", *request["args"]]
    # `main` is called with the input. A script that has none runs as scripts do, its `if __name__ == "__main__"` too.
    name = "task" if defines_main(code) else "__main__"
    module = types.ModuleType(name)
    module.__file__ = "main.py"
    sys.modules[name] = module
    exec(code, module.__dict__)
    main = module.__dict__.get("main")
    # A script has called its `main` itself, also one that it has from elsewhere.
    if name == "__main__" or not callable(main):
        return None
    takes = getattr(main, "__code__", None)
    # A `main` without parameters does not want the input.
    wants_input = takes is None or takes.co_argcount or takes.co_posonlyargcount or takes.co_flags & 0x04
    result = main(request["input"]) if wants_input else main()
    if hasattr(result, "__await__"):
        import asyncio

        async def awaited():
            return await result

        result = asyncio.run(awaited())
    return result


def defines_main(code):
    return any(getattr(constant, "co_name", None) == "main" for constant in code.co_consts)


# Address space, which is not touched. Given back when memory has run out, it is what that is told with.
reserve = [bytes(4 << 20)]

OUT_OF_MEMORY = b'{"failed":{"traceback":"MemoryError","out_of_memory":true}}'


def run(request, descriptor):
    mark = request.pop("mark").encode()
    code = None
    try:
        code = compiled(request["code"])
        write(descriptor, mark, *answer(execute(code, request)))
    except SystemExit:
        raise
    except BaseException as error:
        try:
            if isinstance(error, MemoryError):
                # Before anything else is said, as that needs more memory.
                tell_out_of_memory(descriptor, mark)
            text = describe(error)
            write(descriptor, mark, failure(error, text, code is not None))
            # Only now: standard error is the code's, which may do anything when it is written to.
            say(text)
        except MemoryError:
            tell_out_of_memory(descriptor, mark)
        sys.exit(1)


def tell_out_of_memory(descriptor, mark):
    reserve.clear()
    write(descriptor, mark, OUT_OF_MEMORY)


def answer(result):
    try:
        return b'{"result":', json.dumps(result, ensure_ascii=False, allow_nan=False).encode(), b"}"
    except MemoryError:
        raise
    except Exception as error:
        return (json.dumps({"not_json": last_part(f"{type(error).__name__}: {error}")}).encode(),)


def failure(error, text, was_compiled):
    if isinstance(error, SyntaxError) and not was_compiled:
        failure = {"not_compiled": last_part(refusal(error))}
    else:
        failure = {"failed": {"traceback": last_part(text), "out_of_memory": isinstance(error, MemoryError)}}
    return json.dumps(failure, ensure_ascii=False).encode()


def refusal(error):
    place = "" if error.lineno is None else f"({error.lineno},{error.offset or 1})"
    return f"main.py{place}: {type(error).__name__}: {error.msg}"


# How much of a traceback the worker is told: its end says what went wrong.
TRACEBACK_MAX_BYTES = 64 * 1024


def last_part(text):
    data = text.encode("utf-8", "backslashreplace")
    return data[-TRACEBACK_MAX_BYTES:].decode("utf-8", "ignore")


def describe(error):
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == execute.__code__.co_filename:
        frames = frames.tb_next
    # Where memory runs out, one such error is often the context of another, which says nothing.
    chain = not isinstance(error, MemoryError)
    return "".join(traceback.format_exception(type(error), error, frames, chain=chain))


def say(text):
    try:
        sys.stderr.write(text)
    except Exception:
        # Closed, `None`, or something else in its place.
        pass


# The mark comes last: it makes an answer of what is behind it, which is whole then, whatever ends this process.
def write(descriptor, mark, *parts):
    os.ftruncate(descriptor, 0)
    end = len(mark)
    # Not put together first: a large result is then in memory once.
    for part in parts:
        end += write_at(descriptor, part, end)
    write_at(descriptor, mark, 0)


def write_at(descriptor, part, offset):
    written = os.pwrite(descriptor, part, offset)
    while written < len(part):
        written += os.pwrite(descriptor, memoryview(part)[written:], offset + written)
    return written


def run_one(path, descriptor):
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    # It has the mark.
    os.unlink(path)
    os.set_inheritable(descriptor, False)
    run(request, descriptor)


# One after the other, each in a fork: this process is a warm interpreter that no task has touched.


# Returns in each fork, with what that is to run. So the code of a task has no frame of this process below its own, and no
# value of it to look at.
def serve():
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    # What the imports left over is reused by the rehearsal, so that a fork touches fewer pages.
    gc.collect()
    rehearse()
    # What is there now is never collected, and its pages stay shared with the forks.
    gc.collect()
    gc.freeze()
    send(control, b'"Ready"')
    while True:
        length, files = receive_first(control)
        message = receive(control, length)
        child = os.fork()
        if child == 0:
            control.close()
            return message, files
        attend(control, child, message, files)


# Has what a task leaves in a frame of its own, which is gone when the next one is forked.
def attend(control, child, message, files):
    # Nothing else until then: each page that is written to while there are two of this process has to be copied.
    _, status, usage = os.wait4(child, 0)
    # The next fork has a copy of this memory, and must not find the task in it.
    message[:] = bytes(len(message))
    for file in files:
        os.close(file)
    how, number = ("Signal", os.WTERMSIG(status)) if os.WIFSIGNALED(status) else ("Code", os.WEXITSTATUS(status))
    peak_memory_bytes = usage.ru_maxrss * 1024
    send(control, b'{"Ended":{"exit":{"%b":%d},"peak_memory_bytes":%d}}' % (how.encode(), number, peak_memory_bytes))


REHEARSALS = 10


# What is done for the first time takes memory and makes the interpreter adapt its code. Done here, before the first fork, it
# is not done in each of them: a third less work for a task of one line (CPython 3.11).
def rehearse():
    environment, arguments = dict(os.environ), sys.argv
    unlimited = dict.fromkeys(["cpu_seconds", "address_space_bytes", "file_size_bytes", "open_files", "processes"])
    request = {"mark": "", "code": "def main(input): return 1", "input": None, "args": []}
    message = json.dumps({"environment": environment, "limits": unlimited, "request": request}).encode()
    # Not one in memory, which a worker that cannot count memory together does not permit.
    descriptor = os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)
    for _ in range(REHEARSALS):
        parts = json.loads(bytearray(message))
        take_limits(parts["limits"])
        take_environment(parts["environment"])
        run(parts["request"], descriptor)
    os.close(descriptor)
    sys.argv = arguments
    del sys.modules["task"], linecache.cache["main.py"]


def send(control, message):
    control.sendall(len(message).to_bytes(4, "big") + message)


# The open files come with the first byte of a message.
def receive_first(control):
    files = array.array("i")
    data, ancillary, _, _ = control.recvmsg(4, socket.CMSG_SPACE(8 * files.itemsize))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            files.frombytes(content[: len(content) - len(content) % files.itemsize])
    if not data:
        # The worker is gone.
        os._exit(0)
    return int.from_bytes(data + receive(control, 4 - len(data)), "big"), list(files)


# Into one place, so that it can be wiped.
def receive(control, length):
    data = bytearray(length)
    received = 0
    with memoryview(data) as whole:
        while received < length:
            with whole[received:] as rest:
                count = control.recv_into(rest)
            if not count:
                os._exit(0)
            received += count
    return data


def become_task(message, files):
    status = 1
    try:
        # First, so that whatever goes wrong is told on the standard error of the task.
        descriptor = take_files(files)
        status = finish(lambda: begin(message, descriptor))
    finally:
        # Without taking the interpreter down in order: the kernel does it faster, and everything was written.
        os._exit(status)


def begin(message, descriptor):
    os.setsid()
    message = json.loads(message)
    take_limits(message["limits"])
    take_environment(message["environment"])
    os.chdir(os.environ["HOME"])
    run(message["request"], descriptor)


# Each of them has a larger number than it is to have: until here 3 was that of the socket.
def take_files(files):
    descriptor = files.pop(3)
    # Standard input, output and error, and where the code tells how far it is.
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.set_inheritable(descriptor, False)
    os.closerange(len(files), descriptor)
    os.closerange(descriptor + 1, 256)
    return descriptor


# Without what `clear` and `update` do beside that: whatever is touched first in a fork is a page of memory copied.
def take_environment(environment):
    for name in list(os.environ):
        del os.environ[name]
    for name, value in environment.items():
        os.environ[name] = value
    # Read by the C library when the interpreter started, which had none.
    if "TZ" in environment:
        time.tzset()


def take_limits(limits):
    def limit(kind, soft, hard=None):
        if soft is not None:
            most = resource.getrlimit(kind)[1]
            below = lambda value: value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(kind, (below(soft), below(soft if hard is None else hard)))

    seconds = limits["cpu_seconds"]
    # The soft limit first, so that the program ends by a signal that says why.
    limit(resource.RLIMIT_CPU, seconds, None if seconds is None else seconds + 1)
    limit(resource.RLIMIT_FSIZE, limits["file_size_bytes"])
    limit(resource.RLIMIT_NOFILE, limits["open_files"])
    limit(resource.RLIMIT_NPROC, limits["processes"])
    limit(resource.RLIMIT_AS, limits["address_space_bytes"])


# What an interpreter does at its end, as far as programs notice.
def finish(body):
    status = 0
    try:
        body()
    except SystemExit as exit:
        status = status_of(exit.code)
    except BaseException as error:
        status = 1
        say("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except Exception:
            status = status or 120
    return status


def status_of(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    say(f"{code}\n")
    return 1


# Line by line, so that what a task printed is seen while it runs, and is not lost when it is killed.
sys.stdout.reconfigure(line_buffering=True)
if sys.argv[1] == "serve":
    become_task(*serve())
else:
    run_one(sys.argv[1], int(sys.argv[2]))
