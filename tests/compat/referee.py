"""The observer of the group cases: a client that is none of those under test makes topics, writes, and asks the cluster what it knows of a group."""

import threading
import time
from collections import namedtuple

from confluent_kafka import KafkaError as RdkafkaError
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from kafka import TopicPartition as Place
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

PARTITIONS = 6
# How long a condition may take to become true: long enough for a JVM to start on a busy machine.
WAIT_SECONDS = 90
# What an answer says while leadership moves; librdkafka asks no second time.
MOVING = {RdkafkaError.NOT_LEADER_FOR_PARTITION, RdkafkaError.LEADER_NOT_AVAILABLE, RdkafkaError._TRANSPORT, RdkafkaError._TIMED_OUT,
          RdkafkaError.REQUEST_TIMED_OUT, RdkafkaError.FENCED_LEADER_EPOCH, RdkafkaError.UNKNOWN_LEADER_EPOCH}

# members: a dictionary from member id to Seen; coordinator: the port of the broker that answered for the group.
View = namedtuple("View", "state members coordinator")
Seen = namedtuple("Seen", "instance partitions")


def until(condition, what, seconds=WAIT_SECONDS):
    """The first true value of `condition`; AssertionError with `what()` once the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s: {what()}")
        time.sleep(0.05)  # Between two looks at the condition, not in its place.


class Referee:
    """Asks coordinators by kafka-python: librdkafka 2.16's own such requests end the process (`eonce->refcnt > 0`) now and then while one moves."""

    def __init__(self, bootstrap):
        self.bootstrap, self.clients = bootstrap, threading.local()
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0})

    def create(self, topic, partitions=PARTITIONS):
        self.admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=3)])[topic].result(20)

    def write(self, topic, count, partitions=PARTITIONS):
        """Writes `count` records, evenly over the partitions; {(partition, offset): value} once all are acknowledged."""
        written, failures = {}, []

        def delivered(error, message):
            if error:
                failures.append(error)
            else:
                written[message.partition(), message.offset()] = message.value().decode()

        for number in range(count):
            self.producer.produce(topic, f"{topic} {number}".encode(), partition=number % partitions, on_delivery=delivered)
        deadline = time.monotonic() + 30
        while len(written) + len(failures) < count and time.monotonic() < deadline:
            self.producer.poll(0.05)
        if len(written) < count:
            raise AssertionError(f"the observer wrote {len(written)} of {count}: {failures[:1]}")
        return written

    def ask(self, question, seconds):
        """The answer of the group's coordinator; asked again, through a new client, while it moves or loads."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if not getattr(self.clients, "own", None):
                    self.clients.own = KafkaAdminClient(bootstrap_servers=self.bootstrap.split(","), request_timeout_ms=5_000)
                return question(self.clients.own)
            except (KafkaError, OSError) as problem:
                if getattr(self.clients, "own", None):
                    self.clients.own.close()
                self.clients.own = None
                if time.monotonic() > deadline:
                    raise AssertionError(f"no answer of the group's coordinator within {seconds} s: {problem!r}") from problem
                time.sleep(0.05)  # Between two looks at the condition.

    def group(self, group, seconds=WAIT_SECONDS):
        def question(client):
            described = client.describe_groups([group])[group]
            if described["error"]:
                raise KafkaError(described["error"])
            return described, client._manager.cluster.broker_metadata(client._manager.cluster.get_coordinator(group, 0)).port

        described, port = self.ask(question, seconds)
        members = {member["member_id"]: Seen(member["group_instance_id"], partitions(member["member_assignment"])) for member in described["members"]}
        return View(described["group_state"], members, port)

    def committed(self, group, topic, partitions=PARTITIONS, seconds=WAIT_SECONDS):
        """{partition: offset}, without the partitions that have none."""
        places = [Place(topic, partition) for partition in range(partitions)]
        answer = self.ask(lambda client: client.list_group_offsets({group: places})[group], seconds)
        return {place.partition: committed.offset for place, committed in answer.items() if committed.offset >= 0}

    def ends(self, topic, partitions=PARTITIONS):
        """{partition: its end}; asked again while leaders move."""
        asked = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(partitions)}

        def look():
            try:
                return {p.partition: future.result(20).offset for p, future in self.admin.list_offsets(asked).items()}
            except KafkaException as problem:
                if not problem.args[0].retriable() and problem.args[0].code() not in MOVING:
                    raise
                return None

        return until(look, lambda: f"{topic} has partitions without a leader that answers")


def partitions(assignment):
    """The numbers of the partitions in a member's assignment; of one topic, as all groups here read one."""
    topics = assignment["assigned_partitions"] if isinstance(assignment, dict) else []
    return {partition for topic in topics for partition in topic["partitions"]}
