"""kafka-python, 2.0.2 and 3.0.12: create TOPIC | produce TOPIC ACKS CODEC FILE | consume TOPIC COUNT FILE | member TOPIC GROUP STRATEGY INSTANCE."""

import sys
import time

sys.path.insert(0, sys.argv[1])
import member_events
import records
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

bootstrap, command, topic = sys.argv[2:5]
servers = bootstrap.split(",")


# When a poll of 3.0.12 ends in the middle of a join and the last answer comes before the next poll looks, that one joins again and takes no notice of the assignment; from
# the group's leader that is a wish for a rebalance, on any broker. So a member's first poll lasts until it reads something, and its first join is never cut. It is shorter
# than the time in which a case wants a member to leave.
FIRST_POLL_MS = 20_000
POLL_MS = 1_000


class Told(ConsumerRebalanceListener):
    """Tells what the member gains and loses, and its generation as soon as it owns something in it: a first poll without records is long."""

    def __init__(self, tell_generation):
        self.tell_generation = tell_generation

    def on_partitions_assigned(self, assigned):
        member_events.say(assigned=[p.partition for p in assigned])
        self.tell_generation()

    def on_partitions_revoked(self, revoked):
        member_events.say(revoked=[p.partition for p in revoked])


def assignor(strategy):
    if strategy == "range":
        from kafka.coordinator.assignors.range import RangePartitionAssignor as chosen
    elif strategy == "roundrobin":
        from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor as chosen
    else:
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor as chosen
    return chosen


def member(group, strategy, instance):
    """A member that commits after each batch; a rebalance happens inside poll only, so that all that was processed is committed by then."""
    extra = {} if instance == "-" else {"group_instance_id": instance}
    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                             partition_assignment_strategy=[assignor(strategy)], session_timeout_ms=member_events.SESSION_TIMEOUT_MS,
                             heartbeat_interval_ms=member_events.HEARTBEAT_INTERVAL_MS, **extra)
    orders, generation = member_events.Orders(), member_events.Generation()

    def tell_generation():
        generation.see(consumer._coordinator._generation.generation_id)

    consumer.subscribe([topic], listener=Told(tell_generation))
    # 3.0.12 joins before it knows the topic it subscribed to, and again once it does; when a poll ends in the middle of that second join, its assignment is lost for
    # good (`join_group_async` looks at `need_rejoin` first, and that has become false). A topic that is asked for between subscribe and poll needs no second join.
    consumer.partitions_for_topic(topic)
    timeout_ms = FIRST_POLL_MS
    while not orders.leave.is_set():
        batches = consumer.poll(timeout_ms=timeout_ms)
        for batch in batches.values():
            for message in batch:
                member_events.say_record(message.partition, message.offset, message.value)
        if batches:
            consumer.commit()
            timeout_ms = POLL_MS
        tell_generation()
    consumer.close()
    member_events.say(left=True)


if command == "create":
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic(topic, records.PARTITIONS, 3)], timeout_ms=20_000)
    admin.close()
elif command == "member":
    member(*sys.argv[5:8])
elif command == "produce":
    acks, codec, path = sys.argv[5:8]
    producer = KafkaProducer(bootstrap_servers=servers, acks="all" if acks == "all" else int(acks),
                             compression_type=None if codec == "none" else codec, max_request_size=1_048_588, retries=3)
    futures = []
    for record in records.read(path):
        futures.append(producer.send(topic, key=records.decode(record["key"]), value=records.decode(record["value"]),
                                     partition=record["partition"], timestamp_ms=record["timestamp"],
                                     headers=[(name, records.decode(value)) for name, value in record["headers"]]))
    producer.flush(30)
    for future in futures:
        future.get(30)
    producer.close()
else:
    count, path = int(sys.argv[5]), sys.argv[6]
    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=None, auto_offset_reset="earliest", max_partition_fetch_bytes=2_000_000)
    partitions = [TopicPartition(topic, partition) for partition in range(records.PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    seen, deadline = [], time.monotonic() + 30
    while len(seen) < count and time.monotonic() < deadline:
        for batch in consumer.poll(timeout_ms=1_000).values():
            for message in batch:
                seen.append(dict(partition=message.partition, key=records.encode(message.key), value=records.encode(message.value),
                                 headers=[[name, records.encode(value)] for name, value in message.headers or []],
                                 timestamp=message.timestamp))
    consumer.close()
    records.write(path, seen)
