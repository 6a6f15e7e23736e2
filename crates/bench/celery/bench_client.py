"""The peer's clients, each a process of its own, with Celery's own `apply_async`.

    bench_client.py fill COUNT TASK INPUT        publish without waiting for confirms, then make sure that all arrived
    bench_client.py create COUNT THREADS         publish with confirms from so many threads; prints "FIRST LAST" in
                                                 microseconds, the times of its first call and its last return
    bench_client.py paced COUNT PER_SECOND       publish with confirms at a steady rate; prints "TASK_ID SENT" as it goes

`fill` is not measured. `create` is told to start by a line on its standard input, so that several start together.
"""

import sys
import threading
import time
import uuid

from bench_tasks import app, echo

TINY_INPUT = {"number": 1}


def now():
    return time.time_ns() // 1_000


def fill(count, task, value):
    signature = app.tasks[task]
    with app.pool.acquire(block=True) as connection, app.amqp.Producer(connection) as producer:
        for _ in range(count):
            signature.apply_async((value,), producer=producer)
        # The broker's count may lag behind for a moment. Where a worker runs, it takes them as they come.
        for _ in range(50):
            waiting = producer.channel.queue_declare(app.conf.task_default_queue, passive=True).message_count
            if waiting >= count:
                break
            time.sleep(0.1)
        print(waiting, flush=True)


def create(count, threads):
    app.conf.broker_pool_limit = threads
    app.conf.broker_transport_options = {"confirm_publish": True}
    # Connections and channels are opened before the clock starts: ours are, too.
    barrier = threading.Barrier(threads + 1)

    def publish(share):
        with app.pool.acquire(block=True) as connection, app.amqp.Producer(connection) as producer:
            echo.apply_async((TINY_INPUT,), producer=producer)
            barrier.wait()
            barrier.wait()
            for _ in range(share):
                echo.apply_async((TINY_INPUT,), producer=producer)

    workers = [threading.Thread(target=publish, args=(count // threads,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    first = now()
    barrier.wait()
    for worker in workers:
        worker.join()
    print(first, now(), flush=True)


def paced(count, per_second):
    app.conf.broker_transport_options = {"confirm_publish": True}
    timed = app.tasks["bench.timed"]
    with app.pool.acquire(block=True) as connection, app.amqp.Producer(connection) as producer:
        timed.apply_async((TINY_INPUT,), producer=producer)
        start = now() + 100_000
        for index in range(count):
            intended = start + index * 1_000_000 // per_second
            wait = intended - now()
            if wait > 0:
                time.sleep(wait / 1_000_000)
                sent = now()
            else:
                # Late because the call before took too long: the task has been waiting since it was due.
                sent = intended
            task_id = str(uuid.uuid4())
            timed.apply_async((TINY_INPUT,), task_id=task_id, producer=producer)
            print(task_id, sent, flush=True)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "fill":
        fill(int(arguments[0]), arguments[1], arguments[2])
    elif command == "create":
        create(int(arguments[0]), int(arguments[1]))
    elif command == "paced":
        paced(int(arguments[0]), int(arguments[1]))
    else:
        sys.exit(__doc__)
