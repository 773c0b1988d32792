#!/usr/bin/env python3
"""Other clients' own test suites, each against a fresh cluster of three on localhost:9092-9094; one line a suite, and one for each case that is not as known.txt says.

  run.py --steadfast PROGRAM          every suite that install.sh could build; --kafka DIR for Kafka
  run.py ... --only rskafka           the suites whose name contains a word

What is proven: each case of each suite passes, or stands in known.txt with the reason why it cannot pass. The list only shrinks: a case that fails and does not stand there fails the run,
and so does one that stands there and passes, or does not exist. Exit status 0 when results and list agree.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import known  # noqa: E402
import suites  # noqa: E402
from cluster import BROKERS, Kafka, Steadfast  # noqa: E402

PORT = 9092  # Stands in the sources of some suites.
SETTINGS = ["auto.create.topics.enable=true"]  # What all suites want.


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the cluster is stopped on the way out
    options = arguments()
    tools = Path(options.tools).resolve()
    target = "steadfast" if options.steadfast else "kafka"
    logs = tools / "logs" / target
    entries = known.read(Path(options.known), target)
    found, missing = suites.installed(tools, [f"127.0.0.1:{PORT + number}" for number in range(BROKERS)])
    for name in missing:
        print(f"skip  {name}: not installed", flush=True)

    started, results, wrong = time.monotonic(), {}, 0
    for suite in found:
        if options.only in suite.name:
            results[suite.name] = run(suite, options, logs / suite.name.replace(" ", "-"))
            wrong += report(suite.name, results[suite.name], entries)
    stale = known.stale(entries, results)
    for line in stale:
        print(f"FAIL  known.txt: {line}", flush=True)
    count = {state: sum(case.state == state for cases in results.values() for case in cases) for state in ("pass", "fail", "skip")}
    print(f"compat-suites, {target}: {count['fail'] - wrong} fail as listed, {len(missing)} suites are not installed, {time.monotonic() - started:.0f} s")
    print(f"compat-suites: {count['pass']} passed, {wrong + len(stale)} failed, {count['skip']} skipped")
    return 1 if wrong or stale or not count["pass"] else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--steadfast", type=Path, help="the program, for a cluster of Steadfast")
    target.add_argument("--kafka", type=Path, help="a directory like KAFKA_DIR, for a cluster of Kafka")
    parser.add_argument("--tools", default=str(HERE.parent.parent.parent / "target/compat-suites"), help="where install.sh put the suites; logs go below it")
    parser.add_argument("--known", default=str(HERE / "known.txt"), help="the committed list")
    parser.add_argument("--only", default="", help="run the suites whose name contains this")
    return parser.parse_args()


def run(suite, options, logs):
    """Runs a suite against a cluster of its own. A broker that panics is a failed case, whatever the suite saw of it."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / "brokers.log"
    kind, where = (Steadfast, options.steadfast) if options.steadfast else (Kafka, options.kafka)
    with kind(where, PORT, [*SETTINGS, *suite.settings], log):
        cases = suite.run(logs)
    panics = [line for line in log.read_text(errors="replace").splitlines() if "panicked at" in line]
    if panics:
        cases.append(suites.Case("(the brokers)", "fail", suites.line_of(panics[0])))
    (logs / "results.json").write_text(json.dumps([case.__dict__ for case in cases], indent=1))
    return cases


def report(name, cases, entries):
    """Prints what a suite came to; gives how many of its cases fail without standing in the list."""
    wrong = known.unlisted(entries, name, cases)
    count = {state: sum(case.state == state for case in cases) for state in ("pass", "fail", "skip")}
    print(f"{'FAIL' if wrong else 'ok  '}  {name}: {count['pass']} of {count['pass'] + count['fail']}, {count['fail'] - len(wrong)} fail as listed, "
          f"{len(wrong)} fail otherwise, {count['skip']} skipped by the suite", flush=True)
    for case in wrong:
        print(f"      {case.name}: {case.problem}", flush=True)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
