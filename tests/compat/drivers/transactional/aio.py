"""aiokafka in transactions; the commands are those of transaction_plan.py."""

import asyncio
import sys
import time

sys.path.insert(0, sys.argv[1])
import member_events
import transaction_plan as plan
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

SECONDS = 60
bootstrap, command, topic = sys.argv[2:5]


async def producer(identifier):
    made = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=identifier, transaction_timeout_ms=20_000)
    await made.start()
    return made


async def write(made, name):
    await made.begin_transaction()
    sent = [await made.send(topic, value, partition=partition) for partition, value in plan.records(name)]
    await asyncio.gather(*sent)


async def end(made, outcome):
    await (made.commit_transaction() if outcome == plan.COMMIT else made.abort_transaction())


async def write_all(identifier):
    made = await producer(identifier)
    for name, outcome in plan.TRANSACTIONS:
        await write(made, name)
        await end(made, outcome)
    await made.stop()


async def fence(identifier):
    first = await producer(identifier)
    await write(first, plan.FENCED)
    second = await producer(identifier)
    await write(second, plan.FENCING)
    await end(second, plan.COMMIT)
    await second.stop()
    try:
        await end(first, plan.COMMIT)
    except (ProducerFenced, InvalidProducerEpoch):
        return
    sys.exit("the first producer was not fenced")


def consumer(*topics, **settings):
    return AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False, isolation_level="read_committed", **settings)


async def read(count, path):
    reader, partitions = consumer(), [TopicPartition(topic, partition) for partition in range(plan.PARTITIONS)]
    await reader.start()
    reader.assign(partitions)
    await reader.seek_to_beginning(*partitions)
    seen, deadline = 0, time.monotonic() + SECONDS
    with open(path, "w", encoding="utf-8") as file:
        while seen < count and time.monotonic() < deadline:
            for batch in (await reader.getmany(timeout_ms=500)).values():
                for message in batch:
                    seen += 1
                    file.write(f"{message.partition} {message.value.decode()}\n")
    await reader.stop()


async def reset(reader):
    """Reads again what was not committed."""
    for place in reader.assignment():
        committed = await reader.committed(place)
        if committed is None:
            await reader.seek_to_beginning(place)
        else:
            reader.seek(place, committed)


async def turn(reader, made, output, group, aborts):
    batches = await reader.getmany(timeout_ms=500, max_records=100)
    count = sum(len(batch) for batch in batches.values())
    if not count:
        return
    await made.begin_transaction()
    try:
        for place, batch in batches.items():
            for message in batch:
                await made.send(output, message.value, key=message.key, partition=place.partition)
        await made.send_offsets_to_transaction({place: batch[-1].offset + 1 for place, batch in batches.items()}, group)
        if not aborts.next():
            await made.commit_transaction()
            member_events.say(copied=count)
            return
    except ProducerFenced:
        raise
    except KafkaError:
        pass  # The transaction is aborted, and what it held copied again.
    await made.abort_transaction()
    member_events.say(aborted=count)
    await reset(reader)


async def copy(output, group, identifier, share):
    orders, aborts = member_events.Orders(), plan.Aborts(identifier, share)
    reader = consumer(topic, group_id=group, session_timeout_ms=member_events.SESSION_TIMEOUT_MS, heartbeat_interval_ms=member_events.HEARTBEAT_INTERVAL_MS)
    made = await producer(identifier)
    await reader.start()
    while not orders.leave.is_set():
        await turn(reader, made, output, group, aborts)
    await reader.stop()
    await made.stop()
    member_events.say(left=True)


if command == "write":
    asyncio.run(write_all(sys.argv[5]))
elif command == "read":
    asyncio.run(read(int(sys.argv[5]), sys.argv[6]))
elif command == "fence":
    asyncio.run(fence(sys.argv[5]))
else:
    asyncio.run(copy(*sys.argv[5:9]))
