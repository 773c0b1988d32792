"""Many members in one process (confluent-kafka), each with a thread: herd.py HERE BOOTSTRAP TOPIC GROUP STRATEGY HEARTBEAT_MS.

stdin: `join N` or `leave N` a line. stdout: JSON a line, with the member's number, the time (monotonic), and what it was assigned, lost, or that it left.
"""

import json
import sys
import threading
import time

from confluent_kafka import Consumer

bootstrap, topic, group, strategy, heartbeat = sys.argv[2:7]
printing = threading.Lock()


def say(member, **event):
    with printing:
        print(json.dumps(dict(event, member=member, at=time.monotonic())), flush=True)


def live(member, leave):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "client.id": f"member-{member}", "partition.assignment.strategy": strategy,
                         "enable.auto.commit": False, "session.timeout.ms": 45_000, "heartbeat.interval.ms": int(heartbeat), "log_level": 0,
                         "fetch.wait.max.ms": 5_000})
    consumer.subscribe([topic], on_assign=lambda _, given: say(member, assigned=[p.partition for p in given]),
                       on_revoke=lambda _, taken: say(member, revoked=[p.partition for p in taken]),
                       on_lost=lambda _, taken: say(member, revoked=[p.partition for p in taken]))
    while not leave.is_set():
        consumer.poll(0.1)
    consumer.close()
    say(member, left=True)


threads, leaving = {}, {}
for line in sys.stdin:
    word, number = line.split()
    number = int(number)
    if word == "join":
        leaving[number] = threading.Event()
        threads[number] = threading.Thread(target=live, args=(number, leaving[number]))
        threads[number].start()
    else:
        leaving[number].set()
for event in leaving.values():
    event.set()
for thread in threads.values():
    thread.join()
