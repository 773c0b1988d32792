"""aiokafka: create TOPIC | produce TOPIC ACKS CODEC FILE | consume TOPIC COUNT FILE."""

import asyncio
import sys

sys.path.insert(0, sys.argv[1])
import records
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

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


if command == "create":
    asyncio.run(create())
elif command == "produce":
    asyncio.run(produce(*sys.argv[5:8]))
else:
    asyncio.run(consume(int(sys.argv[5]), sys.argv[6]))
