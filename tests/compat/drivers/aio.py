"""aiokafka: create TOPIC | produce TOPIC ACKS CODEC FILE | consume TOPIC COUNT FILE | member TOPIC GROUP STRATEGY INSTANCE."""

import asyncio
import sys

sys.path.insert(0, sys.argv[1])
import member_events
import records
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

bootstrap, command, topic = sys.argv[2:5]


async def create():
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, records.PARTITIONS, 3)])
    await admin.close()


async def produce(acks, codec, path):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all" if acks == "all" else int(acks),
                                compression_type=None if codec == "none" else codec, max_request_size=1_048_588)
    await producer.start()
    try:
        futures = []
        for record in records.read(path):
            futures.append(await producer.send(topic, key=records.decode(record["key"]), value=records.decode(record["value"]),
                                               partition=record["partition"], timestamp_ms=record["timestamp"],
                                               headers=[(name, records.decode(value)) for name, value in record["headers"]]))
        await asyncio.gather(*futures)
    finally:
        await producer.stop()


async def consume(count, path):
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=2_000_000)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, partition) for partition in range(records.PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        seen = []

        async def poll():
            while len(seen) < count:
                for batch in (await consumer.getmany(timeout_ms=1_000)).values():
                    for message in batch:
                        seen.append(dict(partition=message.partition, key=records.encode(message.key),
                                         value=records.encode(message.value),
                                         headers=[[name, records.encode(value)] for name, value in message.headers],
                                         timestamp=message.timestamp))

        try:
            await asyncio.wait_for(poll(), 30)
        except asyncio.TimeoutError:
            pass
        records.write(path, seen)
    finally:
        await consumer.stop()


class Told(ConsumerRebalanceListener):
    """Tells what the member gains and loses. A rebalance runs beside the reader: the lock keeps it out of a batch that is not committed yet."""

    def __init__(self, busy):
        self.busy = busy

    async def on_partitions_revoked(self, revoked):
        async with self.busy:
            member_events.say(revoked=[p.partition for p in revoked])

    async def on_partitions_assigned(self, assigned):
        member_events.say(assigned=[p.partition for p in assigned])


async def member(group, strategy, instance):
    """A member that commits after each batch."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                                group_instance_id=None if instance == "-" else instance,
                                partition_assignment_strategy=[RangePartitionAssignor if strategy == "range" else RoundRobinPartitionAssignor],
                                session_timeout_ms=member_events.SESSION_TIMEOUT_MS,
                                heartbeat_interval_ms=member_events.HEARTBEAT_INTERVAL_MS)
    orders, generation, busy = member_events.Orders(), member_events.Generation(), asyncio.Lock()
    consumer.subscribe([topic], listener=Told(busy))
    await consumer.start()
    while not orders.leave.is_set():
        async with busy:
            batches = await consumer.getmany(timeout_ms=100)
            for batch in batches.values():
                for message in batch:
                    member_events.say_record(message.partition, message.offset, message.value)
            if batches:
                await consumer.commit()
        generation.see(consumer._coordinator.generation)
    await consumer.stop()
    member_events.say(left=True)


if command == "create":
    asyncio.run(create())
elif command == "member":
    asyncio.run(member(*sys.argv[5:8]))
elif command == "produce":
    asyncio.run(produce(*sys.argv[5:8]))
else:
    asyncio.run(consume(int(sys.argv[5]), sys.argv[6]))
