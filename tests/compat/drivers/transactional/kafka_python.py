"""kafka-python 3 in transactions; the commands are those of transaction_plan.py."""

import sys
import time

sys.path.insert(0, sys.argv[1])
import member_events
import transaction_plan as plan
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError
from kafka.structs import OffsetAndMetadata

SECONDS = 60
bootstrap, command, topic = sys.argv[2:5]
servers = bootstrap.split(",")


def producer(identifier):
    made = KafkaProducer(bootstrap_servers=servers, transactional_id=identifier, transaction_timeout_ms=20_000)
    made.init_transactions()
    return made


def write(made, name):
    made.begin_transaction()
    for partition, value in plan.records(name):
        made.send(topic, value, partition=partition)


def end(made, outcome):
    if outcome == plan.COMMIT:
        made.commit_transaction()
    else:
        made.flush(SECONDS)
        made.abort_transaction()


def fence(identifier):
    first = producer(identifier)
    write(first, plan.FENCED)
    first.flush(SECONDS)
    second = producer(identifier)
    write(second, plan.FENCING)
    end(second, plan.COMMIT)
    try:
        first.commit_transaction()
    except (ProducerFencedError, InvalidProducerEpochError):
        return
    sys.exit("the first producer was not fenced")


def consumer(**settings):
    return KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False, isolation_level="read_committed", **settings)


def read(count, path):
    reader, partitions = consumer(group_id=None), [TopicPartition(topic, partition) for partition in range(plan.PARTITIONS)]
    reader.assign(partitions)
    reader.seek_to_beginning(*partitions)
    seen, deadline = 0, time.monotonic() + SECONDS
    with open(path, "w", encoding="utf-8") as file:
        while seen < count and time.monotonic() < deadline:
            for batch in reader.poll(timeout_ms=500).values():
                for message in batch:
                    seen += 1
                    file.write(f"{message.partition} {message.value.decode()}\n")
    reader.close()


def reset(reader):
    """Reads again what was not committed."""
    for place in reader.assignment():
        committed = reader.committed(place)
        if committed is None:
            reader.seek_to_beginning(place)
        else:
            reader.seek(place, committed)


def turn(reader, made, output, aborts):
    batches = reader.poll(timeout_ms=500, max_records=100)
    count = sum(len(batch) for batch in batches.values())
    if not count:
        return
    try:
        made.begin_transaction()
        for place, batch in batches.items():
            for message in batch:
                made.send(output, message.value, key=message.key, partition=place.partition)
        offsets = {place: OffsetAndMetadata(batch[-1].offset + 1, "", -1) for place, batch in batches.items()}
        made.send_offsets_to_transaction(offsets, reader.group_metadata())
        if not aborts.next():
            made.commit_transaction()
            member_events.say(copied=count)
            return
    except ProducerFencedError:
        raise
    except KafkaError:
        pass  # The transaction is aborted, and what it held copied again.
    made.abort_transaction()
    member_events.say(aborted=count)
    reset(reader)


def copy(output, group, identifier, share):
    orders, aborts = member_events.Orders(), plan.Aborts(identifier, share)
    reader = consumer(group_id=group, session_timeout_ms=member_events.SESSION_TIMEOUT_MS, heartbeat_interval_ms=member_events.HEARTBEAT_INTERVAL_MS)
    made = producer(identifier)
    reader.subscribe([topic])
    # As in the driver without transactions: a topic that is known before the first poll needs no second join.
    reader.partitions_for_topic(topic)
    while not orders.leave.is_set():
        turn(reader, made, output, aborts)
    reader.close()
    made.close()
    member_events.say(left=True)


if command == "write":
    made = producer(sys.argv[5])
    for name, outcome in plan.TRANSACTIONS:
        write(made, name)
        end(made, outcome)
    made.close()
elif command == "read":
    read(int(sys.argv[5]), sys.argv[6])
elif command == "fence":
    fence(sys.argv[5])
else:
    copy(*sys.argv[5:9])
