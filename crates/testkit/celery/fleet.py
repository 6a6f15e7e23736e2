"""A small Celery application, as its users write them. The tests run its workers."""

import os
import time

from celery import Celery

app = Celery("fleet", broker=os.environ["FLEET_BROKER"], backend="rpc://")
app.conf.update(
    task_track_started=True,
    worker_prefetch_multiplier=1,
    # The default of the next version; without it each start prints a warning.
    broker_connection_retry_on_startup=True,
    # Soon enough for a test in which the broker goes away.
    broker_connection_retry=True,
    broker_connection_max_retries=None,
)


@app.task(name="fleet.add")
def add(x, y=0):
    return x + y


@app.task(name="fleet.echo")
def echo(*args, **kwargs):
    return {"args": args, "kwargs": kwargs}


@app.task(name="fleet.large")
def large(size):
    return "a" * size


@app.task(name="fleet.fail")
def fail(message):
    raise ValueError(message)


@app.task(name="fleet.request", bind=True)
def request(self):
    """What the worker was told."""
    names = ("id", "root_id", "correlation_id", "reply_to", "retries", "timelimit", "expires", "idempotency_key")
    told = {name: getattr(self.request, name, None) for name in names}
    return told | {"orchestratum_task_id": getattr(self.request, "orchestratum_task_id", None)}


@app.task(name="fleet.flaky", bind=True, max_retries=3)
def flaky(self, until):
    """Tried again by Celery itself."""
    if self.request.retries < until:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task(name="fleet.sleep")
def sleep(path, seconds):
    """Says in a file that it has begun, and by which process."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return "slept"


@app.task(name="fleet.slow_once")
def slow_once(path):
    """Takes for ever the first time."""
    is_first = not os.path.exists(path)
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(600 if is_first else 0)
    return "done"
