#!/usr/bin/env python3
"""How long a group of 50 members takes to share 500 partitions again when one more joins, and when one leaves.

  rebalance.py --steadfast path/to/steadfast --kafka DIR       both targets, each on a cluster of its own, one row a case

Members are confluent-kafka consumers in a few processes (drivers/herd.py). The time runs from the join (or leave) until the last assignment after which
all partitions are owned exactly once and every member owns some. Members hear of a rebalance by their heartbeat: HEARTBEATS says how often.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import cluster  # noqa: E402
from run import use_installed_python  # noqa: E402

MEMBERS, PARTITIONS, PROCESSES = 50, 500, 5
STRATEGIES = ["range", "cooperative-sticky"]
# Milliseconds: the clients' default, and what a group in a hurry sets.
HEARTBEATS = [3_000, 300]
# A group is settled when nothing changed for this long.
QUIET_SECONDS = 4.0
LIMIT_SECONDS = 120


class Herd:
    """The members, and who owns what now."""

    def __init__(self, bootstrap, topic, group, strategy, heartbeat):
        words = [sys.executable, HERE / "drivers/herd.py", HERE, bootstrap, topic, group, strategy, heartbeat]
        self.processes = [subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
        self.owned, self.last, self.rounds = {}, time.monotonic(), 0
        for process in self.processes:
            threading.Thread(target=self.listen, args=(process,), daemon=True).start()

    def listen(self, process):
        for line in process.stdout:
            event = json.loads(line)
            owned = self.owned.setdefault(event["member"], set())
            owned |= set(event.get("assigned", []))
            owned -= set(event.get("revoked", []))
            if event.get("left"):
                del self.owned[event["member"]]
            self.last = event["at"]

    def order(self, word, member):
        process = self.processes[member % PROCESSES]
        process.stdin.write(f"{word} {member}\n")
        process.stdin.flush()
        return time.monotonic()

    def shared(self, count):
        owners = list(self.owned.values())
        return len(owners) == count and all(owners) and sum(map(len, owners)) == PARTITIONS and len(set().union(*owners)) == PARTITIONS

    def settled(self, count, since):
        """Waits until `count` members share all partitions and nothing changes any more; the seconds from `since` to the last change."""
        while time.monotonic() < since + LIMIT_SECONDS:
            if self.shared(count) and time.monotonic() - self.last > QUIET_SECONDS:
                return self.last - since
            time.sleep(0.05)  # Between two looks at the condition.
        raise AssertionError(f"{len(self.owned)} members own {sum(map(len, self.owned.values()))} of {PARTITIONS} partitions after {LIMIT_SECONDS} s")

    def end(self):
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def measure(target, referee, strategy, heartbeat, repeat):
    """(seconds of each join of the last member, seconds of each leave)."""
    topic = f"rebalance-{strategy}-{heartbeat}"
    referee.create(topic, PARTITIONS)
    herd = Herd(target.bootstrap, topic, topic, strategy, heartbeat)
    try:
        began = time.monotonic()
        for member in range(MEMBERS - 1):
            herd.order("join", member)
        herd.settled(MEMBERS - 1, began)
        joins, leaves = [], []
        for _ in range(repeat):
            joins.append(herd.settled(MEMBERS, herd.order("join", MEMBERS - 1)))
            leaves.append(herd.settled(MEMBERS - 1, herd.order("leave", MEMBERS - 1)))
        return joins, leaves
    finally:
        herd.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cluster.add_arguments(parser)
    parser.add_argument("--tools", default=str(HERE.parent.parent / "target/compat"), help="where install.sh put the clients")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    use_installed_python(Path(options.tools).resolve())
    from referee import Referee
    print(f"{MEMBERS} members, {PARTITIONS} partitions; seconds of {options.repeat} each: least, median, most")
    print("| target | strategy | heartbeat (ms) | a member joins | a member leaves | load |\n|--|--|--|--|--|--|", flush=True)
    for start in cluster.targets(options) or parser.error("neither --steadfast nor --kafka"):
        with start() as target:
            referee = Referee(target.bootstrap)
            for strategy in STRATEGIES:
                for heartbeat in HEARTBEATS:
                    shown = [f"{seconds[0]:.2f}, {seconds[len(seconds) // 2]:.2f}, {seconds[-1]:.2f}"
                             for seconds in map(sorted, measure(target, referee, strategy, heartbeat, options.repeat))]
                    print(f"| {target.name} | {strategy} | {heartbeat} | {shown[0]} | {shown[1]} | {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
