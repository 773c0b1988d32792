"""Groups, proven from the outside: what members own and read, as they tell it, beside what the cluster tells an observer (referee.py)."""

import threading
import time

from member_events import STALL_SECONDS
from members import Company
from referee import PARTITIONS, until

# How long a member that is started again may take: a JVM on a busy machine takes its time, and how soon it is back is not what is looked at.
LONG_SESSION_SECONDS = 120
SHORT_SESSION_SECONDS = 6
# A member that keeps its partitions while another joins processes something at least this often.
LONGEST_PAUSE_SECONDS = 2.0


def share(referee, client, bootstrap, strategy):
    """Two members, then three, share the partitions; each record is read by exactly one of them. When all have left, a newcomer goes on exactly
    where they stopped: what was written meanwhile, nothing twice and nothing skipped."""
    with Company(referee, client, bootstrap, strategy) as company:
        company.write(300)
        company.join(), company.join()
        company.wait_shared(2)
        company.write(300)
        company.wait_read()
        company.join()
        company.wait_shared(3)
        company.write(300)
        company.wait_read()
        company.leave_all()
        until(lambda: company.view().state == "Empty", lambda: f"the group that all left is {company.view()}", 10)
        company.check_committed()
        meanwhile = company.write(150)
        newcomer = company.join()
        company.wait_read()
        company.leave_all()
        company.check_once()
        company.check_committed()
        if {(partition, offset) for partition, offset, _ in newcomer.records} != meanwhile.keys():
            raise AssertionError("the newcomer did not read exactly what was written after the others had left")


class Stream:
    """Writes steadily from a thread of its own, a record to each partition at a time."""

    def __init__(self, company):
        self.company, self.ended, self.problem = company, threading.Event(), None
        self.thread = threading.Thread(target=self._write, daemon=True)

    def _write(self):
        try:
            while not self.ended.wait(0.05):
                self.company.write(PARTITIONS)
        except Exception as problem:  # Told by the case's own thread, in `__exit__`.
            self.problem = problem

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        self.thread.join(30)
        if self.problem and not kind:
            raise AssertionError(f"the steady writer failed: {self.problem}")


def longest_pause(member, partition, begin, end):
    """Longest time between two records of a partition that a member processed, the edges included."""
    times = [begin] + [when for when, event in member.told if begin < when < end and event.get("record", [None])[0] == partition] + [end]
    return max(later - earlier for earlier, later in zip(times, times[1:]))


def cooperative(referee, client, bootstrap):
    """A third member joins two. They give up only what moves to it, and the records of what stays are processed all the while: the rebalance is made
    long by one member that does not poll for STALL_SECONDS; the other must not notice."""
    with Company(referee, client, bootstrap, "cooperative-sticky") as company:
        steady, busy = company.join(), company.join()
        company.wait_shared(2)
        with Stream(company):
            until(lambda: steady.records and busy.records, lambda: "nothing is read", 20)
            began = time.monotonic()
            busy.order("stall")
            third = company.join()
            company.wait_shared(3)
            settled = time.monotonic()
        company.wait_read()
        moved = steady.revoked(began) | busy.revoked(began)
        if moved != third.owned:
            raise AssertionError(f"the third member owns {sorted(third.owned)}, but the others gave up {sorted(moved)}")
        if settled - began < STALL_SECONDS - 1:
            raise AssertionError(f"the rebalance took {settled - began:.1f} s: it ended before the busy member polled again")
        for partition in steady.owned:
            pause = longest_pause(steady, partition, began, settled)
            if pause > LONGEST_PAUSE_SECONDS:
                raise AssertionError(f"partition {partition} stayed with its member, and was not processed for {pause:.1f} s of a rebalance of {settled - began:.1f} s")
        company.leave_all()
        company.check_once()
        company.check_committed()


class Watch:
    """Looks at a group all the time, from a thread of its own, and keeps each state that it saw."""

    def __init__(self, company):
        self.company, self.ended, self.states = company, threading.Event(), set()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while not self.ended.is_set():
            try:
                self.states.add(self.company.view().state)
            except AssertionError as problem:
                self.states.add(str(problem))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(30)


def by_instance(view):
    """{instance id: (member id, partitions)}"""
    return {member.instance: (member_id, member.partitions) for member_id, member in view.members.items()}


def owned(instances):
    return {instance: partitions for instance, (_, partitions) in instances.items()}


def bounce(company, members, instance, before, how):
    """Ends a member and starts it again, and waits until it reads its old partitions under a new member id."""
    if how == "kill":
        members[instance].kill()
    else:
        members[instance].leave()
        members[instance].wait_left()
    back = members[instance] = company.join(instance)

    def returned():
        back.check_alive()
        now = by_instance(company.view()).get(instance)
        return now and now[0] != before[instance][0] and back.owned == before[instance][1] and back.records

    until(returned, lambda: f"{instance} was {before[instance]} and came back to {sorted(back.owned)}: {company.view()}", LONG_SESSION_SECONDS)


def static(referee, client, bootstrap):
    """Three members with instance ids. One is stopped and started, another killed and started, within the session timeout: the group stays Stable,
    nobody sees a new generation, the others no change, and who comes back gets its old partitions under a new member id."""
    with Company(referee, client.with_environment(COMPAT_SESSION_TIMEOUT_MS=LONG_SESSION_SECONDS * 1000), bootstrap, "range") as company:
        members = {instance: company.join(instance) for instance in ("one", "two", "three")}
        company.wait_shared(3)
        company.wait_quiet()
        before = by_instance(company.wait_shared(3))
        generation = until(lambda: members["three"].generation, lambda: "the client shows no generation")
        quiet_since = time.monotonic()
        with Stream(company), Watch(company) as watch:
            bounce(company, members, "one", before, "leave")
            bounce(company, members, "two", before, "kill")
        after = by_instance(company.wait_shared(3))
        if watch.states != {"Stable"}:
            raise AssertionError(f"the group went through {sorted(watch.states)}")
        if owned(after) != owned(before) or after["three"] != before["three"]:
            raise AssertionError(f"assignments before {before}, after {after}")
        # A client tells its generation after the records of the poll in which it learned of it.
        until(lambda: all(member.generation for member in members.values()), lambda: "a member that came back shows no generation")
        generations = [member.generation for member in members.values()]
        if members["three"].changes(quiet_since) or set(generations) != {generation}:
            raise AssertionError(f"generation {generation} became {generations}; the member that stayed saw {members['three'].changes(quiet_since)}")
        until(lambda: not company.written.keys() - company.read().keys(), lambda: "records were never read")


def session_over(referee, client, bootstrap):
    """A member with an instance id that stays away keeps its partitions until its session is over, and then loses them."""
    with Company(referee, client.with_environment(COMPAT_SESSION_TIMEOUT_MS=SHORT_SESSION_SECONDS * 1000), bootstrap, "range") as company:
        members = [company.join(instance) for instance in ("one", "two", "three")]
        company.wait_shared(3)
        members[0].kill()
        away = time.monotonic()
        company.wait_shared(2)
        missed = time.monotonic() - away
        if not SHORT_SESSION_SECONDS - 1 < missed < SHORT_SESSION_SECONDS + 6:
            raise AssertionError(f"the others had its partitions {missed:.1f} s after it was gone")
        company.write(300)
        company.wait_read()
