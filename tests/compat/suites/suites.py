"""The suites: where install.sh put them, how each is run and how its output tells the result of each case.

Every case is capped in time; one that does not end in time fails. Each case's output is kept in a file of its own (kafka-python: one for each run).
"""

import os
import re
import signal
import subprocess
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

CASE_SECONDS = 120
GO_SECONDS = 300  # kafka-go: a test with all its subtests
RUN_SECONDS = 1200


@dataclass
class Case:
    """What one case of a suite did: pass, fail or skip, and in one line why it failed."""

    name: str
    state: str
    problem: str = ""


@dataclass
class Suite:
    """A suite that can be run: `run` takes the directory for its output and gives its cases; `settings` are what it wants of the brokers."""

    name: str
    run: object
    settings: tuple


def installed(tools, brokers):
    """All suites that install.sh built, with the names of those that it could not."""
    found, missing = [], []

    def add(name, needs, run, *settings):
        if needs.exists():
            found.append(Suite(name, run, settings))
        else:
            missing.append(name)

    python, hosts = tools / "kafka-python/.done", ",".join(brokers)
    # Its cases count four partitions, and have sessions of three seconds.
    wanted = ("num.partitions=4", "group.min.session.timeout.ms=2000")
    for number, broker in enumerate(brokers, 1):
        add(f"kafka-python at broker {number}", python, lambda logs, broker=broker: kafka_python(tools, broker, "3.9.0", logs), *wanted)
    # Old versions of everything, and what is skipped below 4.0.
    for version in ("2.3.0", "4.2.0"):
        add(f"kafka-python as of {version}", python, lambda logs, version=version: kafka_python(tools, brokers[0], version, logs), *wanted)
    add("rdkafka", tools / "rdkafka.tests", lambda logs: crate(tools, "rdkafka", {"KAFKA_HOST": hosts, "KAFKA_VERSION": "3.9.0"}, 2, logs), "num.partitions=3")
    add("rskafka", tools / "rskafka.tests",
        lambda logs: crate(tools, "rskafka", {"TEST_INTEGRATION": "1", "KAFKA_CONNECT": brokers[0], "TEST_BROKER_IMPL": "kafka"}, 2, logs))
    # These two have localhost:9092 in their sources; the first one's cases share topics and so run one by one.
    add("kafka-rust", tools / "kafka.tests" if python.exists() else python, lambda logs: kafka_rust(tools, brokers, logs))
    add("kafka-go", tools / "kafka-go.test", lambda logs: kafka_go(tools, logs))
    return found, missing


def kafka_rust(tools, brokers, logs):
    """The tests of the crate kafka. Its topics have two partitions, and both are led by one broker, since its cases count the answers to a request for both."""
    program = ("import sys; from kafka import KafkaAdminClient; admin = KafkaAdminClient(bootstrap_servers=sys.argv[1].split(','))\n"
               "admin.create_topics({name: {'assignments': {0: [1, 2, 3], 1: [1, 2, 3]}} for name in sys.argv[2:]}, wait_for_metadata=True)")
    subprocess.run([tools / "kafka-python/venv/bin/python", "-c", program, ",".join(brokers), "kafka-rust-test", "kafka-rust-test2"],
                   check=True, timeout=60, stdout=subprocess.DEVNULL)
    return crate(tools, "kafka", {}, 1, logs)


def execute(words, seconds, log, environment=None, directory=None):
    """Runs a program, with its output to a file; gives its exit status and output, the status None when it was killed for its time."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=directory,
                                                    env={**os.environ, **(environment or {})}, start_new_session=True) as process:
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return status, log.read_text(errors="replace")


def line_of(text, length=300):
    """A problem in one line."""
    return " ".join(text.split())[:length]


def kafka_python(tools, broker, version, logs):
    """One run of kafka-python's integration tests against one broker, by pytest; results from its JUnit file."""
    directory, report = tools / "kafka-python/kafka_python-3.0.12", logs / "report.xml"
    report.unlink(missing_ok=True)
    environment = {"KAFKA_ROOT": str(directory), "KAFKA_URI": f"kafka://{broker}", "KAFKA_VERSION": version, "PYTHONPATH": str(directory)}
    status, output = execute(
        [tools / "kafka-python/venv/bin/python", "-m", "pytest", "test/integration", "-k", "not sasl and not ssl", "-o", "addopts=", "-v", "-p", "no:cacheprovider",
         "--timeout", "30", "--timeout-method=signal", f"--junitxml={report.resolve()}"], RUN_SECONDS, logs / "output.log", environment, directory)
    if not report.exists():
        return [Case("(the whole run)", "fail", f"did not end within {RUN_SECONDS} s" if status is None else line_of(output[-300:]))]
    return [junit(element) for element in xml.etree.ElementTree.parse(report).iter("testcase")]


def junit(element):
    """One case of a JUnit file."""
    name = f"{element.get('classname').rsplit('.', 1)[-1]}::{element.get('name')}"
    for child in element:
        if child.tag in ("failure", "error"):
            return Case(name, "fail", line_of(child.get("message") or child.text or child.tag))
        if child.tag == "skipped":
            return Case(name, "skip")
    return Case(name, "pass")


def crate(tools, name, environment, jobs, logs):
    """The tests of a crate, each in a process of its own, so that one that hangs or dies takes no other along."""
    programs, directory = (tools / f"{name}.tests").read_text().split(), tools / "crates" / name
    environment = {**environment, "RUST_BACKTRACE": "0", "RUST_TEST_THREADS": "1"}
    todo = []
    for program in programs:
        listing = subprocess.run([program, "--list", "--format", "terse"], capture_output=True, text=True, check=True, timeout=60, cwd=directory).stdout
        target = re.sub(r"-[0-9a-f]{16}$", "", os.path.basename(program))
        todo += [(program, target, line.removesuffix(": test")) for line in listing.splitlines() if line.endswith(": test")]

    def attempt(job):
        program, target, test = job
        label = f"{target}::{test}"
        status, output = execute([program, "--exact", test], CASE_SECONDS, logs / f"{label.replace('::', '.')}.log", environment, directory)
        if status is None:
            return Case(label, "fail", f"did not end within {CASE_SECONDS} s")
        if status == 0:
            return Case(label, "skip" if f"test {test} ... ignored" in output else "pass")
        panic = re.search(r"panicked at .*\n?((?:.*\n?){1,4})", output)
        return Case(label, "fail", line_of(panic[0] if panic else output[-300:]))

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(attempt, todo))


def kafka_go(tools, logs):
    """kafka-go's tests, one process for each test of the first level; its subtests are the cases, or itself where it has none."""
    program, directory = tools / "kafka-go.test", "/usr/share/gocode/src/github.com/segmentio/kafka-go"
    tests = subprocess.run([program, "-test.list", "^Test"], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    cases = []
    for test in tests:
        status, output = execute([program, "-test.run", f"^{test}$", "-test.v", "-test.timeout", f"{GO_SECONDS}s"], GO_SECONDS + 30, logs / f"{test}.log", directory=directory)
        cases += go_cases(test, status, output)
    return cases


def go_cases(test, status, output):
    """The leaves among the results in the output of `go test -v`; a test that failed without a failed subtest stands for itself."""
    states = {"PASS": "pass", "FAIL": "fail", "SKIP": "skip"}
    results = {name: states[state] for state, name in re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", output, re.MULTILINE)}
    if status != 0 and "fail" not in results.values():
        results[test] = "fail"
    cases = []
    for name, state in results.items():
        below = [other for other in results if other.startswith(name + "/")]
        if below and (state != "fail" or any(results[other] == "fail" for other in below)):
            continue
        cases.append(Case(name, state, go_problem(name, output) if state == "fail" else ""))
    return cases


def go_problem(name, output):
    """What a failed case logged: Go writes it below the last line that names the case; or the panic, or the end of the output."""
    current, lines = None, []
    for line in output.splitlines():
        heading = re.match(r"\s*(?:===|---) \w+:?\s+(\S+)", line)
        if heading:
            current = heading[1]
        elif current == name:
            lines.append(line)
    panic = re.search(r"^panic: .*", output, re.MULTILINE)
    return line_of(panic[0] if panic else "\n".join(lines) or output[-300:])
