#!/usr/bin/env python3
"""Three copiers with random aborts, killed all the time, and the brokers too: is the output exactly the input, and how long did nothing come?

  copiers.py --steadfast path/to/steadfast                     five minutes
  copiers.py --kafka DIR                                       the same schedule on Apache Kafka; both options: one after the other
  copiers.py ... --copier java --seconds 60 --seed 7

A producer writes numbered records with acks=all. Three copiers, static members of one group, copy them to the same partitions of another topic, each batch a
transaction with its offsets; a third of the transactions is aborted and copied again. By a seeded schedule a copier gets SIGKILL and starts again every
few seconds, and every 10 s a broker does, which comes back 4 s later. `--copier tool` is Kafka's own TransactionalMessageCopier, one a partition, whose input is
written before. A reader of committed records looks at the output all the while. The verdict:

  wrong          partitions whose output is not their input, record by record and in order     0
  longest stall  in which no committed record came, while there was something to copy          printed

Exit status 0 when nothing is wrong, for Steadfast alone if it was asked for. Needs confluent-kafka (install.sh); the other copiers need KAFKA_DIR.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import cluster  # noqa: E402
from run import use_installed_python  # noqa: E402

COPIERS, PARTITIONS, ABORTS = 3, 3, 0.33
RECORDS_PER_SECOND = 300
TOOL_RECORDS = 100_000
BROKER_EVERY, BROKER_AWAY = 10.0, 4.0
SETTLE_SECONDS, DRAIN_SECONDS = 90, 120
INPUT, OUTPUT, GROUP = "input", "output", "copiers"


def say(text):
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Load(threading.Thread):
    """The producer: numbered records over all partitions, at a steady rate until it is ended, or all at once."""

    def __init__(self, bootstrap, count=None):
        super().__init__(daemon=True)
        from confluent_kafka import Producer
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 5, "log_level": 0})
        self.count, self.acked, self.refused, self.ended = count, 0, [], threading.Event()

    def delivered(self, error, _):
        if error:
            self.refused.append(str(error))
        else:
            self.acked += 1

    def due(self, elapsed):
        return self.count if self.count is not None else int(elapsed * RECORDS_PER_SECOND)

    def run(self):
        began, number = time.monotonic(), 0
        while not self.ended.is_set() and number != self.count:
            while number < self.due(time.monotonic() - began):
                try:
                    self.producer.produce(INPUT, str(number).encode(), partition=number % PARTITIONS, on_delivery=self.delivered)
                except BufferError:
                    break  # Full: the cluster does not answer for now.
                number += 1
            self.producer.poll(0.01)
        self.producer.flush(DRAIN_SECONDS)


class Reader(threading.Thread):
    """Reads committed records of the output as they come: when, and which."""

    def __init__(self, bootstrap):
        super().__init__(daemon=True)
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "isolation.level": "read_committed", "log_level": 0})
        self.consumer.assign([TopicPartition(OUTPUT, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
        self.times, self.seen, self.ended = [], {partition: [] for partition in range(PARTITIONS)}, threading.Event()

    def run(self):
        while not self.ended.is_set():
            message = self.consumer.poll(0.1)
            if message is not None and not message.error():
                self.seen[message.partition()].append(message.value().decode())
                self.times.append(time.monotonic())
        self.consumer.close()

    def longest_stall(self, begin, end):
        inside = [begin] + [when for when in self.times if begin < when < end] + [end]
        return max((later - earlier, earlier - begin) for earlier, later in zip(inside, inside[1:]))


class Copier:
    """One slot: a process that is started again whenever it ends, until it is told to leave."""

    def __init__(self, slot, words, environment, errors, is_tool):
        self.slot, self.words, self.environment, self.errors, self.is_tool = slot, [str(word) for word in words], environment, errors, is_tool
        self.copied = self.aborted = self.ended = self.killed = 0
        self.process, self.lock = None, threading.Lock()

    def start(self):
        with open(self.errors, "a", encoding="utf-8") as errors:
            self.process = subprocess.Popen(self.words, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        threading.Thread(target=self.listen, args=(self.process,), daemon=True).start()

    def listen(self, process):
        for line in process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # The last line of a killed process, or the log of the tool.
            self.copied += event.get("copied", 0)
            self.aborted += event.get("aborted", 0)

    def revive(self):
        if self.process.poll() is not None:
            if not (self.is_tool and self.process.returncode == 0):
                self.ended += 1
                say(f"copier {self.slot} ended by itself with status {self.process.returncode}")
            self.start()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.killed += 1
        self.start()

    def leave(self):
        if not self.is_tool and self.process.poll() is None:
            try:
                self.process.stdin.write("leave\n")
                self.process.stdin.flush()
                self.process.wait(30)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.process.kill()
        self.process.wait()


def copiers(target, kind, tools, scratch):
    from clients import classpath, java
    made = []
    for slot in range(COPIERS):
        environment = {**os.environ, "COMPAT_INSTANCE": f"copier-{slot}"}
        if kind == "tool":
            words = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classpath(tools), "org.apache.kafka.tools.TransactionalMessageCopier",
                     "--input-topic", INPUT, "--input-partition", slot, "--output-topic", OUTPUT, "--broker-list", target.bootstrap, "--consumer-group", GROUP,
                     "--transaction-size", 200, "--transaction-timeout", 20_000, "--transactional-id", f"copier-{slot}", "--enable-random-aborts", "--use-group-metadata"]
        else:
            program = java(tools, "Transactional") if kind == "java" else [sys.executable, HERE / "drivers/transactional/confluent.py"]
            words = [*program, HERE, target.bootstrap, "copy", INPUT, OUTPUT, GROUP, f"copier-{slot}", ABORTS]
        made.append(Copier(slot, words, environment, scratch / "errors", kind == "tool"))
    return made


def kill_brokers(target, chance, ended):
    """One broker every BROKER_EVERY seconds, which comes back BROKER_AWAY later: never two at once."""
    last = None
    while not ended.wait(BROKER_EVERY - BROKER_AWAY):
        last = chance.choice([broker for broker in (1, 2, 3) if broker != last])
        say(f"SIGKILL to broker {last}")
        target.kill(last)
        ended.wait(BROKER_AWAY)
        target.restart(last)
        target_is_up(target, last)


def target_is_up(target, broker):
    deadline = time.monotonic() + SETTLE_SECONDS
    while not target.listens(broker) and time.monotonic() < deadline:
        time.sleep(0.1)  # Between two looks at the condition.


def is_copied(referee):
    return referee.committed(GROUP, INPUT, PARTITIONS) == referee.ends(INPUT, PARTITIONS)


def run(target, options, scratch):
    """One cluster; what the table of the module's text names."""
    from referee import Referee, until
    from transaction_cases import differs, read
    referee, chance, ended = Referee(target.bootstrap), random.Random(options.seed), threading.Event()
    for topic in (INPUT, OUTPUT):
        referee.create(topic, PARTITIONS)
    load = Load(target.bootstrap, TOOL_RECORDS if options.copier == "tool" else None)
    load.start()
    if options.copier == "tool":
        load.join()
    reader, made = Reader(target.bootstrap), copiers(target, options.copier, options.tools, scratch)
    brokers = threading.Thread(target=kill_brokers, args=(target, random.Random(chance.random()), ended), daemon=True)
    try:
        reader.start()
        for copier in made:
            copier.start()
        until(lambda: reader.times, lambda: "nothing is copied", SETTLE_SECONDS)
        begin = time.monotonic()
        brokers.start()
        while time.monotonic() < begin + options.seconds and not (options.copier == "tool" and len(reader.times) >= load.acked):
            time.sleep(chance.uniform(2, 5))
            for copier in made:
                copier.revive()
            victim = chance.choice(made)
            say(f"SIGKILL to copier {victim.slot}; {len(reader.times)} of {load.acked} records are copied")
            victim.kill()
        end = time.monotonic()
        ended.set()
        brokers.join()
        load.ended.set()
        load.join()

        def look():
            for copier in made:
                copier.revive()
            return is_copied(referee)

        until(look, lambda: f"{referee.committed(GROUP, INPUT, PARTITIONS)} of {referee.ends(INPUT, PARTITIONS)} are copied", DRAIN_SECONDS)
    finally:
        ended.set()
        load.ended.set()
        for copier in made:
            copier.leave()
    wanted, final = (read(target.bootstrap, topic, "read_committed", PARTITIONS) for topic in (INPUT, OUTPUT))
    until(lambda: sum(map(len, reader.seen.values())) >= sum(map(len, final.values())), lambda: "the reader does not see the end", 30)
    reader.ended.set()
    wrong = [f"partition {partition}: {problem}" for seen in (final, reader.seen) for partition in range(PARTITIONS)
             if (problem := differs({partition: seen[partition]}, {partition: wanted[partition]}))]
    return dict(input=sum(map(len, wanted.values())), wrong=wrong, stall=reader.longest_stall(begin, end), refused=load.refused,
                copied=sum(copier.copied for copier in made), aborted=sum(copier.aborted for copier in made), ended=sum(copier.ended for copier in made),
                killed=sum(copier.killed for copier in made), seconds=end - begin)


def report(name, options, seen):
    good = not seen["wrong"] and not seen["refused"] and seen["input"] > 0
    print(f"{'ok  ' if good else 'FAIL'}  {name}, {options.copier} copiers, seed {options.seed}: {seen['input']} records in {seen['seconds']:.0f} s, "
          f"{len(seen['wrong'])} wrong, {len(seen['refused'])} refused; {seen['aborted']} records aborted, {seen['killed']} copiers killed, {seen['ended']} ended by themselves; "
          f"longest stall {seen['stall'][0]:.2f} s (at {seen['stall'][1]:.0f} s); load {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores", flush=True)
    for detail in [*seen["wrong"][:5], *seen["refused"][:3]]:
        print(f"        {detail}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cluster.add_arguments(parser)
    parser.add_argument("--tools", default=str(HERE.parent.parent / "target/compat"), help="where install.sh put the clients")
    parser.add_argument("--copier", choices=["confluent", "java", "tool"], default="confluent")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a directory for data and logs of a run in which something is wrong; it must not exist")
    options = parser.parse_args()
    options.tools = Path(options.tools).resolve()
    use_installed_python(options.tools)
    good, counts = True, "Steadfast" if options.steadfast else ""
    for start in cluster.targets(options) or parser.error("neither --steadfast nor --kafka"):
        with tempfile.TemporaryDirectory(prefix="compat-copiers-") as scratch, start() as target:
            fine = report(target.name, options, run(target, options, Path(scratch)))
            good &= fine or not target.name.startswith(counts)
            for line in target.complaints() if not fine else []:
                print(f"        {line}")
            if options.keep and not fine:
                target.stop()
                shutil.copytree(target.directory, options.keep, ignore_dangling_symlinks=True)
                shutil.copytree(scratch, Path(options.keep) / "scratch")
            errors = Path(scratch) / "errors"
            if not fine and errors.exists():
                print("\n".join(f"        {line}" for line in errors.read_text(errors="replace").splitlines()[-15:]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
