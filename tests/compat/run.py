#!/usr/bin/env python3
"""Foreign clients against a cluster, one line a case.

  run.py --bootstrap HOST:PORT,...        every client that is installed (install.sh)
  run.py --bootstrap ... --only kcat      the cases whose name contains a word

A case: the client creates a topic, writes the fixture of records.py and reads it back; what it reads must be what it wrote, in order, byte for byte.
Exit status 0 when every case passed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import records  # noqa: E402

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
MODERN = {"partitions", "headers", "timestamps", "empty-keys", "binary-keys", "null-values"}


class Client:
    """A driver program, what it can carry and how it is started."""

    def __init__(self, name, command, features, codecs=CODECS, environment=None):
        self.name, self.command, self.features, self.codecs = name, command, features, codecs
        self.environment = {**os.environ, **(environment or {})}

    def run(self, bootstrap, *arguments):
        words = [str(word) for word in [*self.command, HERE, bootstrap, *arguments]]
        result = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=90, check=False)
        if result.returncode:
            lines = [line for line in (result.stderr or result.stdout).strip().splitlines() if line.strip()]
            raise AssertionError(f"{arguments[0]}: " + (lines[-1] if lines else f"exit status {result.returncode}"))


def clients(tools):
    """All clients that are installed; names those that are not."""
    found, missing = [], []

    def add(name, needs, *arguments, **options):
        if all(Path(need).exists() for need in needs):
            found.append(Client(name, *arguments, **options))
        else:
            missing.append(name)

    kcat, driver = Path("/usr/bin/kcat"), lambda name: HERE / "drivers" / name
    modern, old = tools / "modern/bin/python", tools / "kafka-python-2/bin/python"
    plain = {"text-headers"}
    add("kcat 1.7.1", [kcat], [sys.executable, driver("kcat.py")], plain | {"null-values"})
    for version in ("0.8.2", "0.9.0", "0.10.0"):
        # Without ApiVersions there are no headers and no zstd, and lz4 wants 0.10; as 0.10.0 kcat asks for ApiVersions all the same.
        add(f"kcat 1.7.1 as {version}", [kcat], [sys.executable, driver("kcat.py")], {"null-values"},
            codecs=["none", "gzip", "snappy"],
            environment={"KCAT_OPTIONS": f"api.version.request=false broker.version.fallback={version}"})
    add("confluent-kafka 2.16.1", [modern], [modern, driver("confluent.py")], MODERN)
    add("kafka-python 3.0.12", [modern], [modern, driver("kafka_python.py")], MODERN)
    add("kafka-python 2.0.2", [old], [old, driver("kafka_python.py")], MODERN)
    add("aiokafka 0.14.0", [modern], [modern, driver("aio.py")], MODERN)
    add("java kafka-clients", [tools / "java/Driver.class"],
        ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", (tools / "java/classpath").read_text().strip() if (tools / "java/classpath").exists() else "", "Driver"], MODERN)
    add("sarama 1.38.1", [tools / "sarama-1.38"], [tools / "sarama-1.38"], MODERN)
    add("sarama 1.22.1", [tools / "sarama-1.22"], [tools / "sarama-1.22"], {"partitions", "empty-keys", "binary-keys", "null-values"},
        codecs=["none", "gzip", "snappy"])
    add("sarama 1.22.1 as 0.10.0", [tools / "sarama-1.22"], [tools / "sarama-1.22"],
        {"partitions", "empty-keys", "binary-keys", "null-values", "timestamps"},
        codecs=["none", "gzip", "snappy", "lz4"], environment={"SARAMA_VERSION": "0.10.0.0"})
    return found, missing


def case(client, bootstrap, acks, codec, scratch):
    """Creates, writes, reads, compares; raises AssertionError with one line of why not."""
    topic = f"compat-{uuid.uuid4().hex[:12]}"
    client.run(bootstrap, "create", topic)
    wanted = records.strip(records.fixture(), client.features)
    written, read = scratch / f"{topic}.in", scratch / f"{topic}.out"
    records.write(written, wanted)
    client.run(bootstrap, "produce", topic, acks, codec, written)
    client.run(bootstrap, "consume", topic, len(wanted), read)
    seen = records.by_partition(records.read(read))
    written.unlink()
    read.unlink()
    for partition, expected in records.by_partition(wanted).items():
        got = [forget(record, client.features) for record in seen.get(partition, [])]
        if len(got) != len(expected):
            raise AssertionError(f"partition {partition}: wrote {len(expected)}, read {len(got)}")
        for position, (want, have) in enumerate(zip(expected, got)):
            if want != have:
                raise AssertionError(f"partition {partition}, record {position}: wrote {records.describe(want)}, read {records.describe(have)}")


def forget(record, features):
    """Drops from what was read the timestamps that the client did not choose."""
    return record if "timestamps" in features else {**record, "timestamp": None}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True, help="host:port of one or more brokers, separated by commas")
    parser.add_argument("--tools", default=str(HERE.parent.parent / "target/compat"), help="where install.sh put the clients")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--jobs", type=int, default=4, help="cases at the same time")
    options = parser.parse_args()

    found, missing = clients(Path(options.tools))
    for name in missing:
        print(f"skip  {name}: not installed", flush=True)
    cases = [(client, acks, codec) for client in found for acks, codec in
             [("0", "none"), ("1", "none")] + [("all", codec) for codec in client.codecs]
             if options.only in f"{client.name}, acks={acks}, {codec}"]
    started, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(options.jobs) as pool:
        def attempt(job):
            begun = time.monotonic()
            try:
                case(*job[:1], options.bootstrap, *job[1:], Path(scratch))
                return None, time.monotonic() - begun
            except (AssertionError, subprocess.TimeoutExpired) as problem:
                return str(problem).replace("\n", " ")[:300], time.monotonic() - begun

        for (client, acks, codec), (problem, seconds) in zip(cases, pool.map(attempt, cases)):
            failed += problem is not None
            print(f"{'FAIL' if problem else 'ok  '}  {client.name}, acks={acks}, {codec} ({seconds:.1f} s)"
                  + (f": {problem}" if problem else ""), flush=True)
    print(f"compat: {len(cases) - failed} passed, {failed} failed, {len(missing)} skipped in {time.monotonic() - started:.0f} s")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
