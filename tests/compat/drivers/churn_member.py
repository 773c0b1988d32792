"""A member of the churn run (confluent-kafka): churn_member.py HERE BOOTSTRAP TOPIC GROUP STRATEGY INSTANCE LOG, until SIGTERM.

Each record that it processes becomes a line of LOG, written at once, so that a SIGKILL takes nothing back: the time (monotonic, one clock for all
processes), partition, offset, value. It commits what it processed, one commit at a time, and waits for it only before it gives partitions away.
A fatal error, such as being fenced, ends it with status FATAL: as everywhere, something else must start it again.
"""

import os
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException

SESSION_TIMEOUT_MS = 6_000
COMMIT_SECONDS = 0.2
FATAL = 3

bootstrap, topic, group, strategy, instance, path = sys.argv[2:8]
log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
asked_to_leave = []
signal.signal(signal.SIGTERM, lambda *_: asked_to_leave.append(True))


class Member:
    def __init__(self):
        settings = {"bootstrap.servers": bootstrap, "group.id": group, "partition.assignment.strategy": strategy, "auto.offset.reset": "earliest",
                    "enable.auto.commit": False, "session.timeout.ms": SESSION_TIMEOUT_MS, "heartbeat.interval.ms": 500,
                    "log_level": 2, "on_commit": self.committed}
        if instance != "-":
            settings["group.instance.id"] = instance
        self.consumer, self.in_flight, self.commit_at, self.new = Consumer(settings), False, 0.0, False
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=lambda *_: self.commit_and_wait())

    def assigned(self, _, partitions):
        os.write(log, f"assigned {time.monotonic():.3f} {len(partitions)}\n".encode())

    def committed(self, *_):
        self.in_flight = False  # Whatever came of it: what it missed is in the next one.

    def commit_and_wait(self):
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException:
            pass  # The next owner processes again what this one could not commit: at least once.

    def turn(self):
        message = self.consumer.poll(0.1)
        now = time.monotonic()
        if message is not None and message.error() and message.error().fatal():
            print(f"{instance}: {message.error()}", file=sys.stderr)
            os._exit(FATAL)
        if message is not None and not message.error():
            os.write(log, f"{now:.3f} {message.partition()} {message.offset()} {message.value().decode()}\n".encode())
            self.new = True
        if self.new and not self.in_flight and now >= self.commit_at:
            self.new, self.in_flight, self.commit_at = False, True, now + COMMIT_SECONDS
            self.consumer.commit(asynchronous=True)


member, parent = Member(), os.getppid()
while not asked_to_leave and os.getppid() == parent:
    member.turn()
member.commit_and_wait()
member.consumer.close()
