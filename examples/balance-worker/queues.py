"""The calculations behind plain queues, one for each: python3 queues.py, with AMQP_URL, GITLAB_URL and GITLAB_TOKEN set."""
import os, sys, time, traceback

from kombu import Connection, Queue
from kombu.exceptions import OperationalError
from kombu.mixins import ConsumerProducerMixin

from calculations import CALCULATIONS
from contract import ANSWER_TRIES, CONFIRMED, calculate
from repository import Away

# What a calculation may take at most: nothing is heard of this process meanwhile.
LONGEST_SECONDS = 900
# Before a message is taken again for which GitLab was away.
PAUSE_SECONDS = 10


class Worker(ConsumerProducerMixin):
    """Comes back by itself where the broker goes away. What it had not answered then is given again."""

    def __init__(self, connection):
        self.connection = connection

    def get_consumers(self, Consumer, channel):
        queues = [Queue(name, durable=True) for name in CALCULATIONS]
        return [Consumer(queues, callbacks=[self.answer], accept=["json"], prefetch_count=1)]

    def on_consume_ready(self, connection, channel, consumers, **_):
        print("ready", flush=True)

    def answer(self, body, message):
        to = message.properties
        if not to.get("reply_to"):
            print("refused: a message that does not say where it is to be answered", file=sys.stderr, flush=True)
            message.reject()
            return
        try:
            said = calculate(message.delivery_info["routing_key"], **body)
        except Away as away:
            print(f"given back: {away}", file=sys.stderr, flush=True)
            time.sleep(PAUSE_SECONDS)
            message.requeue()
            return
        except Exception as error:
            print(traceback.format_exc(), file=sys.stderr, flush=True)
            said = {"error": f"{type(error).__name__}: {error}"}
        try:
            self.producer.publish(
                said, routing_key=to["reply_to"], correlation_id=to.get("correlation_id"),
                retry=True, retry_policy={"max_retries": ANSWER_TRIES},
            )
        except OperationalError as error:
            # Whoever asked is gone with its queue. Where the broker is, this fails, too, and the message is given again.
            print(f"given up, as nobody takes the answer: {error}", file=sys.stderr, flush=True)
            message.reject()
            return
        message.ack()


if __name__ == "__main__":
    # A question is done with only when the broker has confirmed its answer.
    with Connection(os.environ["AMQP_URL"], heartbeat=LONGEST_SECONDS, transport_options=CONFIRMED) as connection:
        Worker(connection).run()
