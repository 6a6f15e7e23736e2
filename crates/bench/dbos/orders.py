"""The peer's half of the benchmark: an order of four durable steps that do nothing, as a workflow of DBOS.

    orders.py prepare                     creates the tables, and runs a few orders
    orders.py run COUNT THREADS NAME      runs so many orders from so many threads; prints "FIRST LAST" in microseconds, the
                                          times of its first call and its last return

A workflow is called where it runs: DBOS is a library. That is its fastest way; with a queue in between, and with `async`, it
runs fewer. `run` is told to start by a line on its standard input, so that several start together, and stays until that ends.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, SetWorkflowID

WARM_UP_ORDERS = 50


@DBOS.step()
def process_payment(order_id, total):
    return {"transaction_id": order_id, "amount": total}


@DBOS.step()
def reserve_inventory(order_id, items):
    return {"reservation_id": order_id, "items": items}


@DBOS.step()
def create_shipment(order_id):
    return {"tracking_number": order_id}


@DBOS.step()
def notify_customer(order_id):
    return {"order_id": order_id}


@DBOS.workflow()
def order(order_id, items, total):
    payment = process_payment(order_id, total)
    reservation = reserve_inventory(order_id, items)
    shipment = create_shipment(order_id)
    notify_customer(order_id)
    return {"order_id": order_id, **payment, **reservation, **shipment}


def now():
    return time.time_ns() // 1_000


def run_orders(pool, count, name):
    def one(number):
        order_id = f"{name}-{number}"
        with SetWorkflowID(order_id):
            order(order_id, [{"sku": "chair", "count": 2}], 129.9)

    # As a list, so that an exception is not lost.
    list(pool.map(one, range(count)))


def run(count, threads, name):
    with ThreadPoolExecutor(threads) as pool:
        run_orders(pool, WARM_UP_ORDERS, f"warm-up-{name}")
        print("ready", flush=True)
        sys.stdin.readline()
        first = now()
        run_orders(pool, count, name)
        print(first, now(), flush=True)
    sys.stdin.read()


def main():
    command, *arguments = sys.argv[1:]
    DBOS(
        config={
            "name": "bench",
            "system_database_url": os.environ["BENCH_DATABASE"],
            "log_level": "WARNING",
            # Unique among the processes, as its documentation asks for.
            "executor_id": str(os.getpid()),
        }
    )
    DBOS.launch()
    if command == "prepare":
        with ThreadPoolExecutor(1) as pool:
            run_orders(pool, WARM_UP_ORDERS, "warm-up")
    elif command == "run":
        count, threads, name = arguments
        run(int(count), int(threads), name)
    else:
        sys.exit(__doc__)
    DBOS.destroy()


if __name__ == "__main__":
    main()
