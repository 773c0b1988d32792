"""Transactions of foreign clients (transaction_plan.py), proven by what readers see, and by what the coordinators and the log show to an observer."""

import json
import subprocess
import threading
import time
import uuid

import transaction_plan as plan
from command_cases import Command, expect as expect_equal
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from referee import until

COPIED_BEFORE_KILL = 60
INPUT = 600
READ_SECONDS = 60


def fresh(what):
    return f"compat-{what}-{uuid.uuid4().hex[:12]}"


def read(bootstrap, topic, isolation, partitions=plan.PARTITIONS):
    """{partition: values} from the beginning to what is the end for such a reader."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "compat-unused", "enable.auto.commit": False, "isolation.level": isolation,
                       "enable.partition.eof": True, "log_level": 0})
    reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])
    found, ends, deadline = {partition: [] for partition in range(partitions)}, set(), time.monotonic() + READ_SECONDS
    while len(ends) < partitions:
        message = reader.poll(0.5)
        if time.monotonic() > deadline:
            raise AssertionError(f"{topic} cannot be read to its end by {isolation}: {ends} of {partitions} partitions are")
        if message is None:
            continue
        if not message.error():
            ends.discard(message.partition())
            found[message.partition()].append(message.value().decode())
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ends.add(message.partition())
        elif not message.error().retriable() and message.error().code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise AssertionError(str(message.error()))
    reader.close()
    return found


def differs(seen, wanted):
    """The first difference between what was read and what should have been, or None."""
    for partition, values in wanted.items():
        have = seen.get(partition, [])
        for position, (want, got) in enumerate(zip(values, have)):
            if want != got:
                return f"partition {partition}, record {position}: {got!r} instead of {want!r}"
        if len(values) != len(have):
            return f"partition {partition}: {len(have)} records instead of {len(values)}"
    return None


def expect(what, seen, wanted):
    difference = differs(seen, wanted)
    if difference:
        raise AssertionError(f"{what}: {difference}")


def atomic(referee, client, bootstrap, scratch):
    """Transactions that are committed are seen whole and in order; of those that are aborted a reader of committed records sees nothing, another one all."""
    topic = fresh("transactions")
    referee.create(topic, plan.PARTITIONS)
    client.run(bootstrap, "write", topic, topic)
    expect("read_uncommitted", read(bootstrap, topic, "read_uncommitted"), plan.values(*(name for name, _ in plan.TRANSACTIONS)))
    expect("read_committed", read(bootstrap, topic, "read_committed"), plan.committed())
    path = scratch / topic
    client.run(bootstrap, "read", topic, sum(len(values) for values in plan.committed().values()), path)
    seen = {partition: [] for partition in range(plan.PARTITIONS)}
    for line in path.read_text(encoding="utf-8").splitlines():
        partition, value = line.split(" ", 1)
        seen[int(partition)].append(value)
    expect("read_committed by the client itself", seen, plan.committed())


def fencing(referee, client, bootstrap):
    """A producer whose transactional id another one has taken over cannot commit, and nothing of its transaction is seen."""
    topic = fresh("fencing")
    referee.create(topic, plan.PARTITIONS)
    client.run(bootstrap, "fence", topic, topic)
    expect("read_committed", read(bootstrap, topic, "read_committed"), plan.values(plan.FENCING))


class Copier:
    """A process of a driver that copies, and what it has told."""

    def __init__(self, client, bootstrap, *words):
        self.process = subprocess.Popen(client.words(bootstrap, "copy", *words), env=client.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.copied, self.aborted, self.has_left, self.complaints = 0, 0, False, []
        self.listeners = [threading.Thread(target=self.listen, daemon=True), threading.Thread(target=self.hear, daemon=True)]
        for listener in self.listeners:
            listener.start()

    def listen(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # The last line of a killed process.
            self.copied += event.get("copied", 0)
            self.aborted += event.get("aborted", 0)
            self.has_left |= "left" in event

    def hear(self):
        for line in self.process.stderr:
            self.complaints = [*self.complaints[-20:], line.strip()]

    def check_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"a copier ended with status {self.process.returncode}: {' '.join(self.complaints)[-300:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def leave(self, seconds=30):
        self.check_alive()
        self.process.stdin.write("leave\n")
        self.process.stdin.flush()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise AssertionError(f"a copier did not leave within {seconds} s") from late
        for listener in self.listeners:
            listener.join(5)
        if self.process.returncode or not self.has_left:
            raise AssertionError(f"leaving ended with status {self.process.returncode}: {' '.join(self.complaints)[-300:]}")


def write_steadily(referee, topic, written, count=INPUT):
    """Writes the input in parts, so that it takes many transactions to copy."""
    for _ in range(count // 60):
        written.update(referee.write(topic, 60, plan.PARTITIONS))
        time.sleep(0.1)


def exactly_once(referee, client, bootstrap):
    """Consume, transform, produce, with every third transaction aborted and the copier killed in the middle: its successor under the same transactional id goes on where
    the committed offsets are, and the output is exactly the input, in order."""
    topic, output = fresh("input"), fresh("output")
    for name in (topic, output):
        referee.create(name, plan.PARTITIONS)
    written, words = {}, (topic, output, topic, output, 0.3)
    # A member that was killed must not hold its partitions for longer than this.
    copier = Copier(client.with_environment(COMPAT_SESSION_TIMEOUT_MS=6_000), bootstrap, *words)
    writer = threading.Thread(target=write_steadily, args=(referee, topic, written), daemon=True)
    writer.start()
    try:
        until(lambda: copier.check_alive() or copier.copied >= COPIED_BEFORE_KILL, lambda: f"only {copier.copied} records are copied")
        copier.kill()
        copier = Copier(client.with_environment(COMPAT_SESSION_TIMEOUT_MS=6_000), bootstrap, *words)
        writer.join(60)
        wanted = {partition: [value for (_, _), value in sorted(item for item in written.items() if item[0][0] == partition)] for partition in range(plan.PARTITIONS)}

        def is_copied():
            copier.check_alive()
            return referee.committed(topic, topic, plan.PARTITIONS) == referee.ends(topic, plan.PARTITIONS)

        until(is_copied, lambda: f"the group stands at {referee.committed(topic, topic, plan.PARTITIONS)} of {referee.ends(topic, plan.PARTITIONS)}")
        copier.leave()
    finally:
        copier.kill()
    expect("the output", read(bootstrap, output, "read_committed"), wanted)
    if not any(len(values) for values in wanted.values()) or len(written) != INPUT:
        raise AssertionError(f"{len(written)} of {INPUT} records of input were written")


def shown(command, referee, bootstrap):
    """Kafka's TransactionsCommand on an open transaction: list, describe, describe-producers; nothing hangs; aborted in its partition by hand, it holds no reader back."""
    topic = fresh("tool")
    referee.create(topic, 1)
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic, "transaction.timeout.ms": 60_000, "log_level": 0})
    producer.init_transactions(READ_SECONDS)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(READ_SECONDS)
    expect_equal("list", [row["TransactionState"] for row in command.table("list") if row["TransactionalId"] == topic], ["Ongoing"])
    row = command.table("describe", "--transactional-id", topic)[0]
    expect_equal("describe", (row["TransactionState"], row["TransactionTimeoutMs"], row["TopicPartitions"]), ("Ongoing", "60000", f"{topic}-0"))
    rows = command.table("describe-producers", "--topic", topic, "--partition", "0")
    expect_equal("describe-producers", [(row["ProducerId"], row["CurrentTransactionStartOffset"]) for row in rows], [(command.table("describe", "--transactional-id", topic)[0]["ProducerId"], "0")])
    expect_equal("find-hanging", command.table("find-hanging", "--topic", topic), [])
    expect("read_committed before", read(bootstrap, topic, "read_committed", 1), {0: []})
    referee.write(topic, 1, 1)
    expect("read_committed while it is open", read(bootstrap, topic, "read_committed", 1), {0: []})
    command.run("abort", "--topic", topic, "--partition", "0", "--start-offset", "0")
    until(lambda: read(bootstrap, topic, "read_committed", 1) == {0: [f"{topic} 0"]}, lambda: f"read_committed after the abort: {read(bootstrap, topic, 'read_committed', 1)}", 10)
    try:
        producer.abort_transaction(READ_SECONDS)
    except KafkaException as problem:
        raise AssertionError(f"the producer's own abort: {problem}") from problem
    expect("read_committed at the end", read(bootstrap, topic, "read_committed", 1), {0: [f"{topic} 0"]})


def cases(referee, found, bootstrap, tools, scratch):
    """(name, function) of each."""
    made = []
    if (tools / "java/Tools.class").exists():
        command = Command(bootstrap, tools, "org.apache.kafka.tools.TransactionsCommand", ())
        made.append(("kafka's TransactionsCommand, transactions, list to abort", lambda: shown(command, referee, bootstrap)))
    for client in (client for client in found if client.transactional):
        driver = client.in_transactions()
        made += [(f"{client.name}, transactions, commit and abort", lambda driver=driver: atomic(referee, driver, bootstrap, scratch)),
                 (f"{client.name}, transactions, fencing", lambda driver=driver: fencing(referee, driver, bootstrap)),
                 (f"{client.name}, transactions, consume-transform-produce", lambda driver=driver: exactly_once(referee, driver, bootstrap))]
    return made
