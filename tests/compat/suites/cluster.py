"""Clusters of three on localhost:9092 to 9094 that live for one suite: of Steadfast, or of the Kafka in a directory like KAFKA_DIR."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

PORT = 9092
BROKERS = [f"127.0.0.1:{PORT + number}" for number in range(3)]
START_SECONDS = 120
STOP_SECONDS = 60

# What all suites want: topics made on the way, groups that do not wait for more members.
SETTINGS = ["auto.create.topics.enable=true", "group.initial.rebalance.delay.ms=0"]


@contextlib.contextmanager
def steadfast(program, settings, log):
    """Starts `steadfast dev` with an empty directory, waits until it is ready and stops it at the end."""
    directory = Path(tempfile.mkdtemp())
    overrides = [f"--override={setting}" for setting in [*SETTINGS, *settings]]
    words = [program, "dev", "--brokers", "3", "--data-dir", directory / "data", "--kafka-port", str(PORT), *overrides]
    with (directory / "ready").open("wb") as ready, log.open("wb") as errors:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=ready, stderr=errors)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (directory / "ready").read_text().startswith("ready:"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the cluster did not become ready: " + " ".join(log.read_text().splitlines()[-5:]))
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def kafka(kafka_dir, settings, log):
    """The same with the script `kafka` of a directory that holds Kafka."""
    directory, script = Path(tempfile.mkdtemp()), kafka_dir / "kafka"
    try:
        with log.open("wb") as output:
            subprocess.run([script, "start", "--dir", directory / "kafka", "--port", str(PORT), "--heap", "512m", "--", *SETTINGS, *settings],
                           stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True, timeout=START_SECONDS)
        yield
    finally:
        subprocess.run([script, "stop", "--dir", directory / "kafka"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=STOP_SECONDS)
        shutil.rmtree(directory, ignore_errors=True)
