"""confluent-kafka (librdkafka) in transactions; the commands are those of transaction_plan.py."""

import os
import sys
import time

sys.path.insert(0, sys.argv[1])
import member_events
import transaction_plan as plan
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

BATCH, BATCH_SECONDS, SECONDS = 100, 0.2, 60
bootstrap, command, topic = sys.argv[2:5]


def producer(identifier):
    made = Producer({"bootstrap.servers": bootstrap, "transactional.id": identifier, "linger.ms": 2, "transaction.timeout.ms": 20_000})
    retried(lambda: made.init_transactions(SECONDS))
    return made


def retried(step, seconds=SECONDS):
    """Goes on with what librdkafka says may go on."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return step()
        except KafkaException as problem:
            if not problem.args[0].retriable() or time.monotonic() > deadline:
                raise


def write(made, name):
    made.begin_transaction()
    for partition, value in plan.records(name):
        made.produce(topic, value, partition=partition)


def end(made, outcome):
    if outcome == plan.COMMIT:
        retried(lambda: made.commit_transaction(SECONDS))
    else:
        made.flush(SECONDS)
        retried(lambda: made.abort_transaction(SECONDS))


def fence(identifier):
    first = producer(identifier)
    write(first, plan.FENCED)
    first.flush(SECONDS)
    second = producer(identifier)
    write(second, plan.FENCING)
    end(second, plan.COMMIT)
    try:
        first.commit_transaction(SECONDS)
    except KafkaException as problem:
        if problem.args[0].code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
            return
        raise
    sys.exit("the first producer was not fenced")


def read(count, path):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "compat-unused", "enable.auto.commit": False, "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(plan.PARTITIONS)])
    deadline = time.monotonic() + SECONDS
    with open(path, "w", encoding="utf-8") as file:
        seen = 0
        while seen < count and time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is not None and message.error():
                sys.exit(str(message.error()))
            if message is not None:
                seen += 1
                file.write(f"{message.partition()} {message.value().decode()}\n")
    consumer.close()


class Copier:
    def __init__(self, output, group, identifier, aborts):
        self.output, self.aborts, self.messages = output, plan.Aborts(identifier, aborts), []
        instance = {"group.instance.id": os.environ["COMPAT_INSTANCE"]} if os.environ.get("COMPAT_INSTANCE") else {}
        self.consumer = Consumer({**instance, "bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                                  "isolation.level": "read_committed", "session.timeout.ms": member_events.SESSION_TIMEOUT_MS,
                                  "heartbeat.interval.ms": member_events.HEARTBEAT_INTERVAL_MS})
        self.producer = producer(identifier)
        self.consumer.subscribe([topic], on_revoke=self.lost, on_lost=self.lost)

    def lost(self, *_):
        # What was read may be another's by now. Within the callback: the poll that calls it may go on to return the first record of the next assignment.
        self.messages.clear()

    def batch(self):
        deadline = time.monotonic() + BATCH_SECONDS
        self.messages.clear()
        while len(self.messages) < BATCH and time.monotonic() < deadline:
            message = self.consumer.poll(0.05)
            if message is not None and message.error():
                if not message.error().retriable() and message.error().code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    sys.exit(str(message.error()))
            elif message is not None:
                self.messages.append(message)
        return list(self.messages)

    def turn(self):
        messages = self.batch()
        if not messages:
            return
        try:
            self.producer.begin_transaction()
            offsets = {}
            for message in messages:
                self.producer.produce(self.output, message.value(), message.key(), partition=message.partition())
                offsets[message.partition()] = message.offset() + 1
            positions = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
            retried(lambda: self.producer.send_offsets_to_transaction(positions, self.consumer.consumer_group_metadata(), SECONDS))
            if self.aborts.next():
                self.abort(len(messages))
            else:
                retried(lambda: self.producer.commit_transaction(SECONDS))
                member_events.say(copied=len(messages))
        except KafkaException as problem:
            if problem.args[0].fatal():
                raise
            self.abort(len(messages))

    def abort(self, count):
        retried(lambda: self.producer.abort_transaction(SECONDS))
        member_events.say(aborted=count)
        # Reads again what was not committed.
        assignment = self.consumer.assignment()
        for position in retried(lambda: self.consumer.committed(assignment, SECONDS)) if assignment else []:
            self.consumer.seek(TopicPartition(position.topic, position.partition, position.offset if position.offset >= 0 else OFFSET_BEGINNING))


def copy(output, group, identifier, aborts):
    orders, copier = member_events.Orders(), Copier(output, group, identifier, aborts)
    while not orders.leave.is_set():
        copier.turn()
    copier.consumer.close()
    member_events.say(left=True)


if command == "write":
    made = producer(sys.argv[5])
    for name, outcome in plan.TRANSACTIONS:
        write(made, name)
        end(made, outcome)
elif command == "read":
    read(int(sys.argv[5]), sys.argv[6])
elif command == "fence":
    fence(sys.argv[5])
else:
    copy(*sys.argv[5:9])
