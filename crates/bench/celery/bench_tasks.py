"""The peer's half of the benchmark: the Celery application and its tasks.

Everything is Celery's default except `worker_prefetch_multiplier`, which the benchmark raises in Celery's favour.

What a task costs for being measured: the counted ones read the clock once and write 24 bytes into a file that is mapped
into memory (below 1 microsecond, against about 400 for the task); the timed ones make one `os.write` (about 2).
"""

import mmap
import os
import struct
import subprocess
import sys
import time
import uuid

from celery import Celery
from celery.signals import worker_process_init

app = Celery("bench", broker=os.environ["BENCH_BROKER"], backend=os.environ.get("BENCH_BACKEND") or None)
app.conf.update(
    task_default_queue="bench",
    worker_prefetch_multiplier=100,
    # The default of the next version; without it each start prints a warning.
    broker_connection_retry_on_startup=True,
)


class Clock:
    """How many tasks this child has started, and when the first and the newest of them did, in microseconds."""

    LAYOUT = struct.Struct("<QQQ")
    NEWEST = struct.Struct("<QQ")
    NEWEST_OFFSET = 8

    def __init__(self, folder):
        with open(os.path.join(folder, f"{os.getpid()}.count"), "w+b") as file:
            file.truncate(self.LAYOUT.size)
            self.memory = mmap.mmap(file.fileno(), self.LAYOUT.size)
        self.times = os.open(os.path.join(folder, f"{os.getpid()}.times"), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self.count = 0

    def tick(self):
        now = time.time_ns() // 1_000
        self.count += 1
        if self.count == 1:
            self.LAYOUT.pack_into(self.memory, 0, now, now, 1)
        else:
            self.NEWEST.pack_into(self.memory, self.NEWEST_OFFSET, now, self.count)

    def stamp(self, task_id):
        os.write(self.times, uuid.UUID(task_id).bytes + struct.pack("<Q", time.time_ns() // 1_000))


clock = None


@worker_process_init.connect
def start_clock(**_):
    global clock
    clock = Clock(os.environ["BENCH_CLOCKS"])


@app.task(name="bench.echo")
def echo(value):
    clock.tick()
    return value


@app.task(name="bench.timed", bind=True)
def timed(self, value):
    clock.stamp(self.request.id)
    return value


@app.task(name="bench.interpreter")
def interpreter(code):
    """The code in a fresh interpreter, as a task server runs what its callers sent."""
    clock.tick()
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
