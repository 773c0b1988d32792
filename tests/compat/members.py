"""Members of one group as processes, what they tell (member_events.py), and what must hold of all of them together."""

import json
import subprocess
import tempfile
import threading
import time
import uuid
from collections import Counter

from referee import PARTITIONS, WAIT_SECONDS, until

LEAVE_SECONDS = 30


class Member:
    """A process that is, or was, a member. `told` has all its events with the time at which they came; `records` what it processed: (partition, offset, value)."""

    def __init__(self, words, environment, tells_assignment):
        self.tells_assignment = tells_assignment
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.started = time.monotonic()
        self.told, self.records, self.owned, self.generation = [], [], set(), None
        self.has_left = self.was_killed = False
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # The last line of a killed process.
            if "record" in event:
                self.records.append(tuple(event["record"]))
            self.owned = (self.owned | set(event.get("assigned", []))) - set(event.get("revoked", []))
            self.generation = event.get("generation", self.generation)
            self.has_left |= "left" in event
            self.told.append((time.monotonic(), event))

    def changes(self, since):
        """The assignments and revocations that came after `since`."""
        return [event for when, event in self.told if when > since and ("assigned" in event or "revoked" in event)]

    def revoked(self, since):
        return {partition for event in self.changes(since) for partition in event.get("revoked", [])}

    def order(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def complaint(self):
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        return lines[-1][:200] if lines else "it said nothing"

    def check_alive(self):
        if self.process.poll() is not None and not self.has_left and not self.was_killed:
            raise AssertionError(f"a member ended with status {self.process.returncode}: {self.complaint()}")

    def leave(self):
        """Asks the member to commit and leave; `wait_left` waits for it."""
        self.check_alive()
        self.order("leave")

    def wait_left(self):
        try:
            self.process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"a member did not leave within {LEAVE_SECONDS} s") from late
        self.listener.join(5)
        if self.process.returncode or not self.has_left:
            raise AssertionError(f"leaving ended with status {self.process.returncode}: {self.complaint()}")

    def kill(self):
        self.was_killed = True
        self.process.kill()
        self.process.wait()
        self.listener.join(5)


class Company:
    """All members of one group of one client on one topic of its own."""

    def __init__(self, referee, client, bootstrap, strategy):
        self.referee, self.client, self.bootstrap, self.strategy = referee, client, bootstrap, strategy
        self.topic = self.group = f"compat-group-{uuid.uuid4().hex[:12]}"
        self.members, self.written = [], {}

    def __enter__(self):
        self.referee.create(self.topic)
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.kill()

    def join(self, instance="-"):
        words = self.client.words(self.bootstrap, "member", self.topic, self.group, self.strategy, instance)
        member = Member(words, self.client.environment, "silent-member" not in self.client.features)
        self.members.append(member)
        return member

    def active(self):
        return [member for member in self.members if member.process.poll() is None]

    def write(self, count):
        written = self.referee.write(self.topic, count)
        self.written.update(written)
        return written

    def view(self):
        return self.referee.group(self.group)

    def wait_shared(self, count, seconds=WAIT_SECONDS):
        """Waits until `count` members share all partitions, none of them idle, as the cluster and as the members themselves tell it."""
        seen = []

        def shared():
            for member in self.members:
                member.check_alive()
            seen[:] = [self.view()]
            by_cluster = sorted(sorted(member.partitions) for member in seen[0].members.values())
            owned = sorted(sorted(member.owned) for member in self.active() if member.tells_assignment)
            return (seen[0].state == "Stable" and len(by_cluster) == count and all(by_cluster)
                    and sorted(partition for part in by_cluster for partition in part) == list(range(PARTITIONS))
                    and (not owned or owned == by_cluster) and seen[0])

        return until(shared, lambda: f"{count} members do not share {PARTITIONS} partitions: {seen}, they own {[sorted(m.owned) for m in self.members]}", seconds)

    def wait_quiet(self):
        """Waits until no member was given or lost anything for a second: some clients join again when their first look at the topic was early."""
        until(lambda: time.monotonic() - max(when for m in self.members for when, event in m.told if "record" not in event) > 1, lambda: "the group does not come to rest")

    def read(self):
        return Counter((partition, offset) for member in self.members for partition, offset, _ in list(member.records))

    def wait_read(self, seconds=WAIT_SECONDS):
        """Waits until all that was written is read, and checks that nothing was read twice and that it is what was written."""
        def behind():
            for member in self.members:
                member.check_alive()
            return not self.written.keys() - self.read().keys()

        until(behind, lambda: f"{len(self.written.keys() - self.read().keys())} of {len(self.written)} records were never read", seconds)
        self.check_once()

    def check_once(self):
        twice = [place for place, times in self.read().items() if times > 1]
        if twice:
            raise AssertionError(f"{len(twice)} records were read twice, e.g. partition and offset {min(twice)}")
        for member in self.members:
            for partition, offset, value in list(member.records):
                if self.written.get((partition, offset)) != value:
                    raise AssertionError(f"partition {partition}, offset {offset}: wrote {self.written.get((partition, offset))!r}, read {value!r}")

    def leave_all(self):
        leaving = self.active()
        for member in leaving:
            member.leave()
        for member in leaving:
            member.wait_left()

    def check_committed(self):
        """What is committed is the end of each partition: all was read, and all members committed what they read."""
        committed, ends = self.referee.committed(self.group, self.topic), self.referee.ends(self.topic)
        if committed != ends:
            raise AssertionError(f"committed {committed}, the partitions end at {ends}")
