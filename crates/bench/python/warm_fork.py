"""A warm interpreter that forks for each task, and keeps nothing apart: the least that a process of one's own costs.

    warm_fork.py COUNT CODE

Each fork compiles the code, calls its `main` and hands back the result as JSON, as the product's runner does. Told to start
by a line on standard input, so that several start together; prints "FIRST LAST", the times around its work in microseconds.
"""

import json
import os
import sys
import time

RESULT_MAX_BYTES = 65536


def now():
    return time.time_ns() // 1_000


def run(source, writer):
    status = 1
    try:
        names = {"__name__": "task"}
        exec(compile(source, "main.py", "exec"), names)
        os.write(writer, json.dumps(names["main"](None)).encode())
        status = 0
    finally:
        os._exit(status)


def task(source):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        run(source, writer)
    os.close(writer)
    answer = os.read(reader, RESULT_MAX_BYTES)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if status != 0:
        sys.exit(f"a task ended with {status}")
    return json.loads(answer)


def main(count, source):
    print("ready", flush=True)
    sys.stdin.readline()
    first = now()
    for _ in range(count):
        task(source)
    print(first, now(), flush=True)


main(int(sys.argv[1]), sys.argv[2])
