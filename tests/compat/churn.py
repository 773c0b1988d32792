#!/usr/bin/env python3
"""Members of one group that come and go under load while brokers are killed: what was lost, what went back, how long nothing moved.

  churn.py --steadfast path/to/steadfast                       two minutes for each strategy, then the coordinator alone
  churn.py --kafka DIR                                         the same schedule on Apache Kafka; both options: one after the other
  churn.py ... --strategy range --seconds 20 --seed 7

Four to seven members (confluent-kafka, each a process; with range they have instance ids) join, leave, bounce and get SIGKILL by a seeded schedule,
while an idempotent producer writes with acks=all and two brokers are killed with SIGKILL, one after the other, and come back. Then, with four members
that nobody touches, the coordinator alone is killed. What ends unheard (a SIGKILL, and the leave of a member with an instance id) the group learns when
the session is over, and a rebalance under way waits for that: two such ends whose sessions overlap add up, on any broker. So they are APART seconds from
one another (--apart 0: as they come). The verdict:

  lost            acknowledged records that nobody processed                                   0
  lag             records between what is committed and the end, when all is over              0
  back            committed offsets that went back, as OffsetFetch showed them all the time    0
  back in the log the same in the order of the records of __consumer_offsets                   0
  longest pause   in which no member processed anything, during churn                          8 s
  at the coordinator's kill                                                                    2 s

Exit status 0 when all hold, for Steadfast alone if it was asked for. Needs confluent-kafka (install.sh).
"""

import argparse
import os
import random
import signal
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

PARTITIONS = 12
RECORDS_PER_SECOND = 400
FEWEST, MOST = 4, 7
APART = 8.0
LEAVE_SECONDS = 20
DRAIN_SECONDS = 60
CHURN_PAUSE_SECONDS, COORDINATOR_PAUSE_SECONDS = 8.0, 2.0
# How long the coordinator stays away when it alone is killed, and how long everything goes on then.
KILL_WINDOW_SECONDS, AFTERWARDS_SECONDS = 15.0, 15.0
TOPIC = GROUP = "churn"


def say(text):
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Load(threading.Thread):
    """The producer: numbered records over all partitions at a steady rate; keeps the numbers of those acknowledged."""

    def __init__(self, bootstrap):
        super().__init__(daemon=True)
        from confluent_kafka import Producer
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 5, "log_level": 0})
        self.acked, self.refused, self.ended = set(), [], threading.Event()

    def delivered(self, error, message):
        if error:
            self.refused.append(str(error))
        else:
            self.acked.add(int(message.value()))

    def run(self):
        began, number = time.monotonic(), 0
        while not self.ended.is_set():
            while number < (time.monotonic() - began) * RECORDS_PER_SECOND:
                try:
                    self.producer.produce(TOPIC, str(number).encode(), partition=number % PARTITIONS, on_delivery=self.delivered)
                except BufferError:
                    break  # Full: the cluster does not answer for now.
                number += 1
            self.producer.poll(0.01)
        self.producer.flush(DRAIN_SECONDS)

    def finish(self):
        self.ended.set()
        self.join()


class Observer(threading.Thread):
    """Asks for the committed offsets all the time and keeps each that went back."""

    def __init__(self, referee):
        super().__init__(daemon=True)
        self.referee, self.ended = referee, threading.Event()
        self.highest, self.back, self.looks, self.unanswered = {}, [], 0, 0

    def run(self):
        while not self.ended.wait(0.1):
            try:
                committed = self.referee.committed(GROUP, TOPIC, PARTITIONS, seconds=0)
            except AssertionError:
                self.unanswered += 1
                continue
            self.looks += 1
            for partition in range(PARTITIONS):
                offset = committed.get(partition, 0)
                if offset < self.highest.get(partition, 0):
                    self.back.append((round(time.monotonic(), 3), partition, self.highest[partition], offset))
                self.highest[partition] = offset

    def finish(self):
        self.ended.set()
        self.join()


class Members:
    """The processes, by slot; with instance ids a slot is an instance."""

    def __init__(self, target, strategy, directory, apart):
        self.target, self.strategy, self.directory, self.apart, self.unheard = target, strategy, directory, apart, 0.0
        self.live, self.number, self.revived, self.static = {}, 0, 0, strategy == "range"

    def start(self, slot):
        self.number += 1
        words = [sys.executable, HERE / "drivers/churn_member.py", HERE, self.target.bootstrap, TOPIC, GROUP, self.strategy,
                 f"member-{slot}" if self.static else "-", self.directory / f"member-{slot}-{self.number}.log"]
        self.live[slot] = subprocess.Popen([str(word) for word in words], stderr=open(self.directory / "errors", "a", encoding="utf-8"))

    def end(self, slot, number):
        process = self.live.pop(slot)
        process.send_signal(number)
        try:
            process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"member {slot} did not leave within {LEAVE_SECONDS} s and is killed")
            process.kill()
            process.wait()

    def revive(self):
        """Starts members again that ended by themselves, as whatever runs them in earnest would."""
        for slot, process in list(self.live.items()):
            if process.poll() is not None:
                say(f"member {slot} ended by itself with status {process.returncode}")
                self.revived += 1
                self.start(slot)

    def free(self):
        return min(slot for slot in range(MOST) if slot not in self.live)

    def end_all(self):
        for process in self.live.values():
            process.terminate()
        for slot in list(self.live):
            self.end(slot, signal.SIGTERM)

    def act(self, chance):
        """One step of the churn."""
        may_end_unheard = time.monotonic() - self.unheard >= self.apart
        may_leave = len(self.live) > FEWEST and (may_end_unheard or not self.static)
        choices = ["bounce"] + ["kill"] * may_end_unheard + ["join"] * (len(self.live) < MOST) + ["leave"] * may_leave
        action = "join" if len(self.live) < FEWEST else chance.choice(choices)
        slot = self.free() if action == "join" else chance.choice(sorted(self.live))
        say(f"{action} {slot}, {len(self.live)} members")
        if action == "kill" or action == "leave" and self.static:
            self.unheard = time.monotonic()
        if action == "join":
            self.start(slot)
        else:
            self.end(slot, signal.SIGKILL if action == "kill" else signal.SIGTERM)
            if action == "bounce":
                self.start(slot)

    def processed(self):
        """All that any member processed, as (time, number of the record); and how many assignments members were given."""
        times, assignments = [], 0
        for path in self.directory.glob("member-*.log"):
            for line in path.read_text().splitlines():
                words = line.split()
                if words[0] == "assigned":
                    assignments += 1
                elif len(words) == 4:
                    times.append((float(words[0]), int(words[3])))
        return sorted(times), assignments


def longest_pause(times, begin, end):
    """(seconds, when it began) of the longest time within [begin, end] in which nothing was processed."""
    inside = [begin] + [when for when, _ in times if begin < when < end] + [end]
    return max((later - earlier, earlier - begin) for earlier, later in zip(inside, inside[1:]))


def kill_brokers(target, referee, chance, seconds):
    """Kills the coordinator after a quarter of the time and another broker after five eighths; each comes back an eighth later."""
    began, first = time.monotonic(), None
    for at in (0.25, 0.625):
        time.sleep(max(0.0, began + at * seconds - time.monotonic()))
        victim = target.broker_at(referee.group(GROUP).coordinator) if first is None else chance.choice([n for n in (1, 2, 3) if n != first])
        first = first or victim
        say(f"SIGKILL to broker {victim}" + (", the coordinator" if at == 0.25 else ""))
        target.kill(victim)
        time.sleep(seconds / 8)
        say(f"broker {victim} starts again")
        target.restart(victim)


def churn(target, referee, members, chance, seconds):
    """The first phase; (begin, end) of it."""
    brokers = threading.Thread(target=kill_brokers, args=(target, referee, random.Random(chance.random()), seconds))
    begin = time.monotonic()
    if seconds:
        brokers.start()
    while time.monotonic() < begin + seconds:
        time.sleep(chance.uniform(2, 5))
        members.revive()
        members.act(chance)
    if seconds:
        brokers.join()
    return begin, time.monotonic()


def stable(referee, members, count):
    def look():
        members.revive()
        view = referee.group(GROUP)
        return view if view.state == "Stable" and len(view.members) == count and sum(len(m.partitions) for m in view.members.values()) == PARTITIONS else None
    return look


def kill_coordinator(target, referee, members):
    """The second phase, with FEWEST members that nobody touches; the time of the kill."""
    from referee import until
    while len(members.live) > FEWEST:
        members.end(max(members.live), signal.SIGTERM)
    while len(members.live) < FEWEST:
        members.start(members.free())
    view = until(stable(referee, members, FEWEST), lambda: f"the group did not settle: {referee.group(GROUP)}", 90)
    time.sleep(2)  # Load at rest on both sides of the kill.
    victim = target.broker_at(view.coordinator)
    say(f"SIGKILL to broker {victim}, the coordinator, with nothing else going on")
    killed = time.monotonic()
    target.kill(victim)
    time.sleep(KILL_WINDOW_SECONDS)
    target.restart(victim)
    time.sleep(AFTERWARDS_SECONDS)
    return killed


def commits_that_went_back(bootstrap):
    """Reads __consumer_offsets from begin to end, as its own tools do: each commit of the group that is lower than the one before it."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 2})
    partitions = sorted(reader.list_topics("__consumer_offsets", 20).topics["__consumer_offsets"].partitions)
    reader.assign([TopicPartition("__consumer_offsets", partition, OFFSET_BEGINNING) for partition in partitions])
    last, back, count, open_ends, deadline = {}, [], 0, set(partitions), time.monotonic() + 60
    while open_ends and time.monotonic() < deadline:
        message = reader.poll(1)
        if message is not None and message.error():
            open_ends.discard(message.partition())
        elif message is not None and message.key() and int.from_bytes(message.key()[:2], "big") < 2 and message.value():
            group, topic, partition = committed_key(message.key())
            offset = int.from_bytes(message.value()[2:10], "big")  # After the version.
            if group == GROUP:
                count += 1
                if offset < last.get(partition, 0):
                    back.append((partition, last[partition], offset))
                last[partition] = offset
    reader.close()
    if open_ends or not count:
        raise AssertionError(f"__consumer_offsets: {len(open_ends)} partitions not read to their end, {count} commits of the group")
    return back, count


def committed_key(key):
    """Group, topic and partition of the key of a committed offset: a version, two strings with their lengths, a number."""
    words, place = [], 2
    for _ in range(2):
        length = int.from_bytes(key[place:place + 2], "big")
        words.append(key[place + 2:place + 2 + length].decode())
        place += 2 + length
    return *words, int.from_bytes(key[place:place + 4], "big")


def drain(referee):
    """The lag that is left once nothing is written any more: 0, or what it was when the time was over."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        committed, ends = referee.committed(GROUP, TOPIC, PARTITIONS), referee.ends(TOPIC, PARTITIONS)
        lag = sum(end - committed.get(partition, 0) for partition, end in ends.items())
        if lag == 0 or time.monotonic() > deadline:
            return lag
        time.sleep(0.2)  # Between two looks at the condition.


def run(target, strategy, options, directory):
    """One cluster, one strategy: both phases; what the table of the module's text names."""
    from referee import Referee, until
    referee, chance = Referee(target.bootstrap), random.Random(f"{options.seed} {strategy}")
    referee.create(TOPIC, PARTITIONS)
    load, members, observer = Load(target.bootstrap), Members(target, strategy, directory, options.apart), Observer(referee)
    try:
        for slot in range(FEWEST):
            members.start(slot)
        load.start()
        until(stable(referee, members, FEWEST), lambda: "the first members do not settle", 60)
        observer.start()
        begin, end = churn(target, referee, members, chance, options.seconds)
        killed = kill_coordinator(target, referee, members)
        load.finish()
        lag = drain(referee)
        observer.finish()
    finally:
        load.ended.set()
        members.end_all()
    times, assignments = members.processed()
    numbers = [number for _, number in times]
    back, commits = commits_that_went_back(target.bootstrap)
    return dict(acked=len(load.acked), refused=len(load.refused), lost=len(load.acked - set(numbers)), again=len(numbers) - len(set(numbers)), lag=lag,
                back=len(observer.back), log_back=len(back), revived=members.revived, looks=observer.looks, commits=commits, assignments=assignments,
                churn=longest_pause(times, begin, end), kill=longest_pause(times, killed, killed + KILL_WINDOW_SECONDS + AFTERWARDS_SECONDS),
                details=[*load.refused[:3], *observer.back[:5], *back[:5]])


def report(name, strategy, seed, seen):
    """Prints the figures of a run; whether all hold."""
    good = (seen["lost"] == seen["lag"] == seen["back"] == seen["log_back"] == seen["refused"] == 0
            and seen["churn"][0] <= CHURN_PAUSE_SECONDS and seen["kill"][0] <= COORDINATOR_PAUSE_SECONDS)
    print(f"{'ok  ' if good else 'FAIL'}  {name}, {strategy}{' with static members' if strategy == 'range' else ''}, seed {seed}: "
          f"{seen['acked']} acked, {seen['refused']} refused, {seen['lost']} lost, {seen['again']} processed again, lag {seen['lag']}, "
          f"offsets that went back: {seen['back']} in {seen['looks']} looks, {seen['log_back']} in the log's {seen['commits']} commits; "
          f"{seen['assignments']} assignments, {seen['revived']} members ended by themselves; "
          f"longest pause {seen['churn'][0]:.2f} s (at {seen['churn'][1]:.0f} s), at the coordinator's kill {seen['kill'][0]:.2f} s; "
          f"load {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores", flush=True)
    for detail in seen["details"]:
        print(f"        {detail}")
    return good


def keep(where, *directories):
    """Copies logs: all files that are no data."""
    for path in (path for directory in directories for path in directory.rglob("*") if path.is_file()):
        if path.suffix == ".log" and path.name.startswith("member") or path.name in ("log", "out.log", "errors"):
            where.mkdir(parents=True, exist_ok=True)
            (where / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cluster.add_arguments(parser)
    parser.add_argument("--tools", default=str(HERE.parent.parent / "target/compat"), help="where install.sh put the clients")
    parser.add_argument("--strategy", choices=["cooperative-sticky", "range"], action="append", help="default: both")
    parser.add_argument("--seconds", type=float, default=120, help="length of the churn; 0 leaves it out")
    parser.add_argument("--keep", help="a directory for the logs of members and brokers")
    parser.add_argument("--apart", type=float, default=APART, help="least seconds between two members that end unheard")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    use_installed_python(Path(options.tools).resolve())
    good, counts = True, "Steadfast" if options.steadfast else ""
    for start in cluster.targets(options) or parser.error("neither --steadfast nor --kafka"):
        for strategy in options.strategy or ["cooperative-sticky", "range"]:
            with tempfile.TemporaryDirectory(prefix="compat-churn-") as scratch, start() as target:
                fine = report(target.name, strategy, options.seed, run(target, strategy, options, Path(scratch)))
                if options.keep:
                    keep(Path(options.keep) / f"{target.name} {strategy}", target.directory, Path(scratch))
                good &= fine or not target.name.startswith(counts)
                for line in target.complaints():
                    print(f"        {line}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
