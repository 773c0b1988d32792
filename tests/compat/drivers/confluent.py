"""confluent-kafka (librdkafka): create TOPIC | produce TOPIC ACKS CODEC FILE | consume TOPIC COUNT FILE."""

import sys
import time

sys.path.insert(0, sys.argv[1])
import records
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

bootstrap, command, topic = sys.argv[2:5]

if command == "create":
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, num_partitions=records.PARTITIONS, replication_factor=3)])[topic].result(20)
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
