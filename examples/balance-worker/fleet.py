"""The calculations as tasks of Celery: celery --app fleet worker, with AMQP_URL, GITLAB_URL and GITLAB_TOKEN set."""
import os

from celery import Celery
from celery.signals import worker_process_init

from contract import CONFIRMED, calculate

app = Celery("balance", broker=os.environ["AMQP_URL"], backend="rpc://")
# A worker that dies gives its message back: the same again makes no second commit.
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)


# And a message is done with only when the broker has confirmed the result: one that is killed in between loses neither. That is
# waited for where the task has run; the process that hands out the tasks, and answers for all, must wait for nobody.
@worker_process_init.connect
def confirm_results(**_):
    app.conf.broker_transport_options = CONFIRMED


@app.task(name="balance.condenser")
def condenser(**message):
    return calculate("balance.condenser", **message)


@app.task(name="balance.heater")
def heater(**message):
    return calculate("balance.heater", **message)


@app.task(name="balance.total")
def total(**message):
    return calculate("balance.total", **message)
