"""A cluster of three that a run starts, kills the brokers of and stops: Steadfast or Apache Kafka, behind the same few words."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BROKERS = 3
START_SECONDS = 120
STOP_SECONDS = 60
# Both the same, so that runs compare: an own cluster of a test has no members that come late.
OVERRIDES = ["group.initial.rebalance.delay.ms=0"]


class Cluster:
    """Brokers 1, 2 and 3 on ports `port`, `port` + 1 and `port` + 2, in a directory that goes when the run ends; what they say goes to `log`, which may lie elsewhere."""

    name = ""

    def __init__(self, port, overrides=(), log=None):
        self.port, self.overrides = port, [*OVERRIDES, *overrides]
        self.directory = Path(tempfile.mkdtemp(prefix="compat-cluster-"))
        self.log_path = log or self.directory / "log"
        self.bootstrap = ",".join(f"127.0.0.1:{port + number}" for number in range(BROKERS))

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def broker_at(self, port):
        return port - self.port + 1

    def kill(self, broker):
        """SIGKILL; returns when the process is gone."""
        pid = int(self.pid_file(broker).read_text())
        os.kill(pid, signal.SIGKILL)
        while self.listens(broker):
            time.sleep(0.005)  # Between two looks at the condition.

    def listens(self, broker):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port + broker - 1)) == 0


class Steadfast(Cluster):
    """`steadfast dev`, its brokers started again as `steadfast server`."""

    name = "Steadfast"

    def __init__(self, binary, port, overrides=(), log=None):
        super().__init__(port, overrides, log)
        self.binary, self.dev, self.restarted = Path(binary).resolve(), None, []
        self.options = [word for text in self.overrides for word in ("--override", text)]

    def start(self):
        self.log = open(self.log_path, "w", encoding="utf-8")
        said = self.directory / "said"
        with open(said, "w", encoding="utf-8") as output:
            self.dev = subprocess.Popen([self.binary, "dev", "--brokers", str(BROKERS), "--data-dir", self.directory / "data", "--kafka-port", str(self.port),
                                         *self.options], stdin=subprocess.DEVNULL, stdout=output, stderr=self.log)
        deadline = time.monotonic() + START_SECONDS
        while not said.read_text().startswith("ready:"):
            if self.dev.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the cluster did not become ready:\n{self.log_path.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)  # Between two looks at the condition.

    def pid_file(self, broker):
        return self.directory / f"data/broker-{broker}/steadfast.pid"

    def restart(self, broker):
        config = self.directory / f"data/broker-{broker}/server.properties"
        self.restarted.append(subprocess.Popen([self.binary, "server", "--config", config, *self.options], stdout=subprocess.DEVNULL, stderr=self.log))

    def stop(self):
        for process in [*self.restarted, *([self.dev] if self.dev else [])]:
            process.terminate()
        for process in [*self.restarted, *([self.dev] if self.dev else [])]:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def complaints(self, words=("ERROR", "panic")):
        """The last lines that brokers logged with one of the words."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return [line for line in lines if any(word in line for word in words)][-30:]


class Kafka(Cluster):
    """Apache Kafka by the script of KAFKA_DIR."""

    name = "Kafka 4.3.1"

    def __init__(self, kafka_dir, port, overrides=(), log=None):
        super().__init__(port, overrides, log)
        self.script = str(Path(kafka_dir).resolve() / "kafka")

    def start(self):
        with open(self.log_path, "w", encoding="utf-8") as log:
            subprocess.run([self.script, "start", "--dir", self.directory / "kafka", "--port", str(self.port), "--heap", "512m", "--", *self.overrides],
                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=START_SECONDS)

    def pid_file(self, broker):
        return self.directory / f"kafka/node-{broker}/pid"

    def restart(self, broker):
        subprocess.run([self.script, "up", str(broker), "--dir", self.directory / "kafka"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    def stop(self):
        subprocess.run([self.script, "stop", "--dir", self.directory / "kafka"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=STOP_SECONDS)

    def complaints(self, words=()):
        return []


def add_arguments(parser, kafka=os.environ.get("KAFKA_DIR") or None, port=27_092):
    parser.add_argument("--steadfast", help="the binary: run on a cluster of it")
    parser.add_argument("--kafka", default=kafka, help=f"directory of Kafka's script and jars: run on a cluster of it (default: {kafka})")
    parser.add_argument("--port", type=int, default=port, help="Kafka port of the first broker")


def targets(options):
    """What starts a cluster of each target that was asked for. From here on SIGTERM ends the run as Ctrl-C does: its clusters end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    found = []
    if options.steadfast:
        found.append(lambda *overrides: Steadfast(options.steadfast, options.port, overrides))
    if options.kafka:
        found.append(lambda *overrides: Kafka(options.kafka, options.port, overrides))
    return found
