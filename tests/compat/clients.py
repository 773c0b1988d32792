"""The foreign clients that install.sh installed: how a driver is started and what its client can do."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
MODERN = {"partitions", "headers", "timestamps", "empty-keys", "binary-keys", "null-values"}
EAGER = ["range", "roundrobin"]


class Client:
    """A driver program, what it can carry and how it is started. `codecs` is empty for what only joins groups, `strategies` for what never does;
    `static`: it knows instance ids and shows its generation; `transactional`: the words that start its driver of transactions, empty without one."""

    def __init__(self, name, command, features, codecs=CODECS, environment=None, strategies=(), static=False, transactional=()):
        self.name, self.command, self.features, self.codecs = name, command, features, codecs
        self.strategies, self.static, self.transactional = strategies, static, transactional
        self.environment = {**os.environ, **(environment or {})}

    def with_environment(self, **more):
        return Client(self.name, self.command, self.features, environment={**self.environment, **{name: str(value) for name, value in more.items()}})

    def in_transactions(self):
        """The same client by its driver of transactions."""
        return Client(self.name, self.transactional, self.features, environment=self.environment)

    def words(self, bootstrap, *arguments):
        return [str(word) for word in [*self.command, HERE, bootstrap, *arguments]]

    def run(self, bootstrap, *arguments):
        result = subprocess.run(self.words(bootstrap, *arguments), env=self.environment, capture_output=True, text=True, timeout=90, check=False)
        if result.returncode:
            lines = [line for line in (result.stderr or result.stdout).strip().splitlines() if line.strip()]
            raise AssertionError(f"{arguments[0]}: " + (lines[-1] if lines else f"exit status {result.returncode}"))


def classpath(tools):
    """Of the Java programs that install.sh compiled."""
    file = tools / "java/classpath"
    return file.read_text().strip() if file.exists() else ""


def java(tools, name):
    return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classpath(tools), name]


def clients(tools):
    """All clients that are installed, and the names of those that are not."""
    found, missing = [], []

    def add(name, needs, *arguments, **options):
        if all(Path(need).exists() for need in needs):
            found.append(Client(name, *arguments, **options))
        else:
            missing.append(name)

    kcat, driver = Path("/usr/bin/kcat"), lambda name: HERE / "drivers" / name
    modern, old = tools / "modern/bin/python", tools / "kafka-python-2/bin/python"
    plain = {"text-headers"}
    add("kcat 1.7.1", [kcat], [sys.executable, driver("kcat.py")], plain | {"null-values"}, strategies=EAGER)
    for version in ("0.8.2", "0.9.0", "0.10.0"):
        # Without ApiVersions there are no headers and no zstd, and lz4 wants 0.10; as 0.10.0 kcat asks for ApiVersions all the same. Groups came with 0.9.
        add(f"kcat 1.7.1 as {version}", [kcat], [sys.executable, driver("kcat.py")], {"null-values"},
            codecs=["none", "gzip", "snappy"], strategies=["range"] if version == "0.9.0" else [],
            environment={"KCAT_OPTIONS": f"api.version.request=false broker.version.fallback={version}"})
    add("confluent-kafka 2.16.1", [modern], [modern, driver("confluent.py")], MODERN, strategies=[*EAGER, "cooperative-sticky"], static=True,
        transactional=[modern, driver("transactional/confluent.py")])
    add("kafka-python 3.0.12", [modern], [modern, driver("kafka_python.py")], MODERN, strategies=[*EAGER, "cooperative-sticky"], static=True,
        transactional=[modern, driver("transactional/kafka_python.py")])
    add("kafka-python 2.0.2", [old], [old, driver("kafka_python.py")], MODERN, strategies=EAGER)
    add("aiokafka 0.14.0", [modern], [modern, driver("aio.py")], MODERN, strategies=EAGER, static=True, transactional=[modern, driver("transactional/aio.py")])
    add("java kafka-clients", [tools / "java/Driver.class"], java(tools, "Driver"), MODERN, strategies=["range", "cooperative-sticky"], static=True,
        transactional=java(tools, "Transactional"))
    add("kafka's console consumer", [tools / "java/Tools.class"], [sys.executable, driver("console_consumer.py")], {"silent-member"}, codecs=[], strategies=["range"],
        environment={"COMPAT_CLASSPATH": classpath(tools)})
    add("sarama 1.38.1", [tools / "sarama-1.38"], [tools / "sarama-1.38"], MODERN, strategies=EAGER, static=True,
        transactional=[tools / "sarama-transactional"])
    add("sarama 1.22.1", [tools / "sarama-1.22"], [tools / "sarama-1.22"], {"partitions", "empty-keys", "binary-keys", "null-values"},
        codecs=["none", "gzip", "snappy"], strategies=EAGER)
    # As Kafka 4 still serves them: with less they commit as OffsetCommit 1 and fetch as Fetch 2.
    later = {"SARAMA_VERSION": "2.0.0", "SARAMA_OFFSETS_RETENTION": "24h"}
    for version in ("1.38", "1.22"):
        add(f"sarama {version}.1 as 2.0.0", [tools / f"sarama-{version}"], [tools / f"sarama-{version}"], MODERN, codecs=[], strategies=["range"], environment=later)
    add("sarama 1.22.1 as 0.10.0", [tools / "sarama-1.22"], [tools / "sarama-1.22"],
        {"partitions", "empty-keys", "binary-keys", "null-values", "timestamps"},
        codecs=["none", "gzip", "snappy", "lz4"], environment={"SARAMA_VERSION": "0.10.0.0"})
    return found, missing
