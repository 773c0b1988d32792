"""Kafka's own console consumer, its jars named by COMPAT_CLASSPATH: member TOPIC GROUP STRATEGY INSTANCE. It ends by a signal and commits by itself."""

import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, sys.argv[1])
import member_events

bootstrap, _, topic, group, strategy, _ = sys.argv[2:8]
ASSIGNORS = {"range": "org.apache.kafka.clients.consumer.RangeAssignor"}
SETTINGS = {"group.id": group, "auto.offset.reset": "earliest", "partition.assignment.strategy": ASSIGNORS[strategy],
            "session.timeout.ms": member_events.SESSION_TIMEOUT_MS, "heartbeat.interval.ms": member_events.HEARTBEAT_INTERVAL_MS}

words = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", os.environ["COMPAT_CLASSPATH"],
         "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", bootstrap, "--topic", topic,
         "--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true"]
for name, value in SETTINGS.items():
    words += ["--command-property", f"{name}={value}"]
console = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
member_events.Orders(on_leave=lambda: console.send_signal(signal.SIGTERM))
for line in console.stdout:
    match = re.match(r"Partition:(\d+)\tOffset:(\d+)\t(.*)", line)
    if match:
        member_events.say_record(int(match.group(1)), int(match.group(2)), match.group(3).encode())
console.wait()
member_events.say(left=True)
