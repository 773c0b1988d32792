#!/usr/bin/env python3
"""Foreign clients against a cluster, one line a case.

  run.py --steadfast PROGRAM              every client that is installed (install.sh), on a cluster of three that it starts and stops
  run.py --kafka DIR                      the same on Kafka
  run.py --bootstrap HOST:PORT,...        on a cluster that runs
  run.py ... --only kcat                  the cases whose name contains a word

What is proven stands in record_cases.py, group_cases.py, command_cases.py and transaction_cases.py. Exit status 0 when every case passed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import cluster  # noqa: E402
import record_cases  # noqa: E402
from clients import clients  # noqa: E402


def use_installed_python(tools):
    """Goes on as the Python that install.sh made, where it made one: the observer of the group cases is confluent-kafka."""
    python = tools / "modern/bin/python"
    if python.exists() and Path(sys.prefix) != python.parent.parent:
        os.execv(python, [str(python), *sys.argv])


def cases_of_records(found, bootstrap, scratch):
    """(name, function) of each case of record_cases.py."""
    return [(f"{client.name}, acks={acks}, {codec}", lambda client=client, acks=acks, codec=codec: record_cases.keep(client, bootstrap, acks, codec, scratch))
            for client in found if client.codecs
            for acks, codec in [("0", "none"), ("1", "none")] + [("all", codec) for codec in client.codecs]]


def cases_of_groups(found, bootstrap, tools, scratch):
    """(name, function) of each case of group_cases.py, command_cases.py and transaction_cases.py."""
    import command_cases
    import group_cases
    import transaction_cases
    from referee import Referee

    referee, cases = Referee(bootstrap), []
    for client in found:
        cases += [(f"{client.name}, group, {strategy}", lambda client=client, strategy=strategy: group_cases.share(referee, client, bootstrap, strategy))
                  for strategy in client.strategies]
        if client.static:
            cases.append((f"{client.name}, group, static members", lambda client=client: group_cases.static(referee, client, bootstrap)))
    confluent = next(client for client in found if client.name.startswith("confluent-kafka"))
    cases.append((f"{confluent.name}, group, a join stops nothing that stays", lambda: group_cases.cooperative(referee, confluent, bootstrap)))
    cases.append((f"{confluent.name}, group, a static member that stays away", lambda: group_cases.session_over(referee, confluent, bootstrap)))
    return cases + command_cases.cases(referee, confluent, bootstrap, tools) + transaction_cases.cases(referee, found, bootstrap, tools, scratch)


def attempt(case):
    """What is wrong (None if nothing) and the seconds that it took."""
    begun = time.monotonic()
    try:
        case()
        return None, time.monotonic() - begun
    except Exception as problem:  # Whatever a client or the observer throws is this case's failure, not the end of the run.
        name = "" if isinstance(problem, (AssertionError, subprocess.TimeoutExpired)) else f"{type(problem).__name__}: "
        return (name + str(problem)).replace("\n", " ")[:400], time.monotonic() - begun


def run(cases, jobs):
    """Runs cases side by side and prints a line for each, in their order; the number that failed."""
    failed = 0
    with ThreadPoolExecutor(jobs) as pool:
        for (name, _), (problem, seconds) in zip(cases, pool.map(attempt, [case for _, case in cases])):
            failed += problem is not None
            print(f"{'FAIL' if problem else 'ok  '}  {name} ({seconds:.1f} s)" + (f": {problem}" if problem else ""), flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cluster.add_arguments(parser, kafka=None, port=29_092)
    parser.add_argument("--bootstrap", help="host:port of one or more brokers, separated by commas; nothing is started then")
    parser.add_argument("--tools", default=str(HERE.parent.parent / "target/compat"), help="where install.sh put the clients")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--jobs", type=int, default=4, help="record cases at the same time")
    parser.add_argument("--group-jobs", type=int, default=6, help="group cases at the same time: they mostly wait")
    options = parser.parse_args()
    tools = Path(options.tools).resolve()
    use_installed_python(tools)
    if options.bootstrap:
        return run_all(options.bootstrap, tools, options)
    status = 0
    for start in cluster.targets(options) or parser.error("neither --steadfast nor --kafka nor --bootstrap"):
        with start() as target:
            failed = run_all(target.bootstrap, tools, options)
            for line in target.complaints(("WARN", "ERROR", "panic")) if failed else []:
                print(f"        {line}", file=sys.stderr)
        status |= failed
    return status


def run_all(bootstrap, tools, options):
    """Runs what was chosen on one cluster; the exit status."""
    found, missing = clients(tools)
    if not any(client.name.startswith("confluent-kafka") for client in found):
        missing.append("group cases: their observer, confluent-kafka,")
    for name in missing:
        print(f"skip  {name}: not installed", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        of_records = cases_of_records(found, bootstrap, Path(scratch))
        of_groups = [] if missing and missing[-1].startswith("group") else cases_of_groups(found, bootstrap, tools, Path(scratch))
        of_records, of_groups = ([case for case in cases if options.only in case[0]] for cases in (of_records, of_groups))
        failed = run(of_records, options.jobs) + run(of_groups, options.group_jobs)
    count = len(of_records) + len(of_groups)
    print(f"compat: {count - failed} passed, {failed} failed, {len(missing)} skipped in {time.monotonic() - started:.0f} s")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
