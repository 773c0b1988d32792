"""confluent-kafka (librdkafka): create TOPIC | produce TOPIC ACKS CODEC FILE | consume TOPIC COUNT FILE | member TOPIC GROUP STRATEGY INSTANCE."""

import sys
import time

sys.path.insert(0, sys.argv[1])
import member_events
import records
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BATCH = 100
# Nothing new to commit; or a rebalance around a member that keeps its partitions, after which the commit succeeds.
NO_FAILURES = {KafkaError._NO_OFFSET, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS}
bootstrap, command, topic = sys.argv[2:5]


class Member:
    """A member that commits after each batch, one commit at a time, without waiting for it: a coordinator answers a commit that came after a
    JoinGroup on the same connection when the rebalance is over. Before it gives a partition away, and before it leaves, it does wait."""

    def __init__(self, group, strategy, instance):
        settings = {"bootstrap.servers": bootstrap, "group.id": group, "partition.assignment.strategy": strategy, "auto.offset.reset": "earliest",
                    "enable.auto.commit": False, "session.timeout.ms": member_events.SESSION_TIMEOUT_MS,
                    "heartbeat.interval.ms": member_events.HEARTBEAT_INTERVAL_MS, "on_commit": self.committed}
        if instance != "-":
            settings["group.instance.id"] = instance
        self.consumer, self.generation = Consumer(settings), member_events.Generation()
        self.uncommitted, self.in_flight = 0, False
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.lost)

    def assigned(self, _, partitions):
        member_events.say(assigned=[p.partition for p in partitions])

    def revoked(self, _, partitions):
        self.commit_and_wait()
        self.lost(_, partitions)

    def lost(self, _, partitions):
        member_events.say(revoked=[p.partition for p in partitions])

    def committed(self, error, _):
        self.in_flight = False
        if error and error.code() not in NO_FAILURES:
            sys.exit(f"commit: {error}")

    def commit(self):
        if not self.in_flight:
            self.uncommitted, self.in_flight = 0, True
            self.consumer.commit(asynchronous=True)

    def commit_and_wait(self):
        """False if the group is in a rebalance: the commit is to be tried again."""
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as problem:
            if problem.args[0].code() not in NO_FAILURES:
                raise
            return problem.args[0].code() == KafkaError._NO_OFFSET
        return True

    def turn(self):
        # One at a time: of a batch, `consume` may have taken records that a rebalance within the same call then gives away uncommitted.
        message = self.consumer.poll(0.1)
        if message is not None and message.error():
            if message.error().code() != KafkaError.UNKNOWN_TOPIC_OR_PART:  # The topic is new, and not every broker knows it yet.
                sys.exit(str(message.error()))
        elif message is not None:
            member_events.say_record(message.partition(), message.offset(), message.value())
            self.uncommitted += 1
        if self.uncommitted and (message is None or self.uncommitted >= BATCH):
            self.commit()
        # librdkafka shows the generation in its serialized metadata only: a magic word, then four bytes.
        self.generation.see(int.from_bytes(self.consumer.consumer_group_metadata()[7:11], sys.byteorder, signed=True))


def member(group, strategy, instance):
    orders, member = member_events.Orders(), Member(group, strategy, instance)
    while not (orders.leave.is_set() and member.commit_and_wait()):
        member.turn()
        if orders.stall.is_set():
            orders.stall.clear()
            time.sleep(member_events.STALL_SECONDS)
    member.consumer.close()
    member_events.say(left=True)


if command == "create":
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, num_partitions=records.PARTITIONS, replication_factor=3)])[topic].result(20)
elif command == "member":
    member(*sys.argv[5:8])
elif command == "produce":
    acks, codec, path = sys.argv[5:8]
    failures = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": acks, "compression.type": codec, "message.max.bytes": 1_048_500,
                         "partitioner": "consistent"})
    for record in records.read(path):
        producer.produce(topic, key=records.decode(record["key"]), value=records.decode(record["value"]), partition=record["partition"],
                         headers=[(name, records.decode(value)) for name, value in record["headers"]],
                         timestamp=record["timestamp"] or 0,
                         on_delivery=lambda error, message: failures.append(error) if error else None)
    left = producer.flush(30)
    if failures or left:
        sys.exit(f"{len(failures)} failed, {left} undelivered: {failures[:1]}")
else:
    count, path = int(sys.argv[5]), sys.argv[6]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "compat-unused", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "fetch.message.max.bytes": 2_000_000})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(records.PARTITIONS)])
    seen, deadline = [], time.monotonic() + 30
    while len(seen) < count and time.monotonic() < deadline:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            sys.exit(str(message.error()))
        seen.append(dict(partition=message.partition(), key=records.encode(message.key()), value=records.encode(message.value()),
                         headers=[[name, records.encode(value)] for name, value in message.headers() or []],
                         timestamp=message.timestamp()[1]))
    consumer.close()
    records.write(path, seen)
