"""kafka-python, 2.0.2 and 3.0.12: create TOPIC | produce TOPIC ACKS CODEC FILE | consume TOPIC COUNT FILE."""

import sys
import time

sys.path.insert(0, sys.argv[1])
import records
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

bootstrap, command, topic = sys.argv[2:5]
servers = bootstrap.split(",")

if command == "create":
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic(topic, records.PARTITIONS, 3)], timeout_ms=20_000)
    admin.close()
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
