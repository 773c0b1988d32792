"""Kafka's own ConsumerGroupCommand on groups of the cluster: what it shows is what an observer sees, and what it changes a new member notices."""

import json
import subprocess
import threading

from clients import java
from members import Company
from referee import PARTITIONS, until

EACH = 10  # Records in each partition.
# What the heading of a table begins with.
HEADINGS = (["GROUP"], ["TOPIC"], ["TransactionalId"], ["CoordinatorId"], ["ProducerId"], ["Topic"])


class Command:
    """A tool of Kafka's, ConsumerGroupCommand where no other is named; its many runs in one JVM that starts with the first."""

    def __init__(self, bootstrap, tools, tool="org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", options=("--timeout", "20000")):
        self.bootstrap, self.words, self.lock, self.process = bootstrap, java(tools, "Tools"), threading.Lock(), None
        self.tool, self.options = tool, options

    def run(self, *words):
        """All that it prints."""
        with self.lock:
            if not self.process:
                self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            words = [self.tool, "--bootstrap-server", self.bootstrap, *self.options, *words]
            self.process.stdin.write(json.dumps(words) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())["printed"]

    def table(self, *words):
        """The rows of the table that it prints, each a dictionary by the words of the heading."""
        printed = self.run(*words)
        lines = [line.split() for line in printed.replace("COORDINATOR (ID)", "COORDINATOR ID").splitlines()]
        heading = next((row for row in lines if row[:1] in HEADINGS), None)
        if not heading:
            raise AssertionError(f"{' '.join(words)}: no table in {printed.strip()!r}")
        return [dict(zip(heading, row)) for row in lines[lines.index(heading) + 1:] if row]

    def refuses(self, reason, *words):
        printed = self.run(*words)
        if reason not in printed:
            raise AssertionError(f"{' '.join(words)}: expected {reason!r}, it printed {printed.strip()!r}")


def expect(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: {got}, expected {wanted}")


def everywhere(offset):
    return {partition: offset for partition in range(PARTITIONS)}


def consumed(company, members):
    """Members have read and committed EACH records of every partition, and go on."""
    company.write(EACH * PARTITIONS)
    for _ in range(members):
        company.join()
    company.wait_shared(members)
    company.wait_read()
    until(lambda: company.referee.committed(company.group, company.topic) == everywhere(EACH), lambda: "what is read is not committed", 10)


def shows(command, company):
    """--list, --describe, --members and --state of a live group, and of the same group when all have left."""
    group, topic = company.group, company.topic
    consumed(company, 2)
    expect("--list --state", [row["STATE"] for row in command.table("--list", "--state") if row["GROUP"] == group], ["Stable"])
    expect("--list --state Empty", [row for row in command.table("--list", "--state", "Empty") if row["GROUP"] == group], [])
    view = company.view()
    owner = {partition: member_id for member_id, member in view.members.items() for partition in member.partitions}
    rows = command.table("--describe", "--group", group)
    expect("--describe", {int(row["PARTITION"]): (row["TOPIC"], row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"], row["CONSUMER-ID"]) for row in rows},
           {partition: (topic, str(EACH), str(EACH), "0", owner[partition]) for partition in range(PARTITIONS)})
    rows = command.table("--describe", "--group", group, "--members", "--verbose")
    expect("--members", {row["CONSUMER-ID"]: row["CURRENT-ASSIGNMENT"] for row in rows},
           {member_id: f"{topic}:{','.join(str(p) for p in sorted(member.partitions))}" for member_id, member in view.members.items()})
    row = command.table("--describe", "--group", group, "--state")[0]
    expect("--state", (row["COORDINATOR"].split(":")[1], row["ASSIGNMENT-STRATEGY"], row["STATE"], row["#MEMBERS"]), (str(view.coordinator), "range", "Stable", "2"))
    company.leave_all()
    company.write(PARTITIONS)
    row = command.table("--describe", "--group", group, "--state")[0]
    expect("--state of an empty group", (row["STATE"], row["#MEMBERS"]), ("Empty", "0"))
    rows = command.table("--describe", "--group", group)
    expect("--describe of an empty group", {(row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"], row["CONSUMER-ID"]) for row in rows},
           {(str(EACH), str(EACH + 1), "1", "-")})
    command.refuses("GroupIdNotFoundException", "--describe", "--group", f"{group}-of-nobody")


def resets(command, company):
    """--reset-offsets: refused while members are there, without effect as a dry run, and then to each target; a new member starts exactly there."""
    scope = ["--reset-offsets", "--group", company.group, "--topic", company.topic]
    consumed(company, 1)
    command.refuses("can only be reset if the group", *scope, "--to-earliest", "--execute")
    expect("committed after a refusal", company.referee.committed(company.group, company.topic), everywhere(EACH))
    company.leave_all()
    command.table(*scope, "--to-earliest", "--dry-run")
    expect("committed after a dry run", company.referee.committed(company.group, company.topic), everywhere(EACH))
    for target, offset in [(["--to-earliest"], 0), (["--to-latest"], EACH), (["--to-datetime", "2020-01-01T00:00:00.000"], 0), (["--by-duration", "PT0S"], EACH),
                           (["--to-offset", "4"], 4), (["--shift-by", "-1"], 3), (["--to-current"], 3)]:
        rows = command.table(*scope, *target, "--execute")
        expect(" ".join(target), {int(row["PARTITION"]): int(row["NEW-OFFSET"]) for row in rows if row["GROUP"] == company.group}, everywhere(offset))
        expect(f"committed after {' '.join(target)}", company.referee.committed(company.group, company.topic), everywhere(offset))
    newcomer = company.join()
    company.wait_shared(1)
    again = {(partition, offset) for partition in range(PARTITIONS) for offset in range(3, EACH)}
    until(lambda: len(newcomer.records) >= len(again), lambda: f"of {len(again)} records {len(newcomer.records)} were read again")
    company.leave_all()
    expect("what the newcomer read", sorted((partition, offset) for partition, offset, _ in newcomer.records), sorted(again))


def deletes(command, company):
    """--delete-offsets and --delete: refused while members are there; then the offsets are gone, and the group is."""
    group, scope = company.group, ["--delete-offsets", "--group", company.group, "--topic"]
    consumed(company, 1)
    command.refuses("GroupNotEmptyException", "--delete", "--group", group)
    command.refuses("GroupSubscribedToTopicException", *scope, company.topic)
    expect("committed after the refusals", company.referee.committed(group, company.topic), everywhere(EACH))
    company.leave_all()
    rows = command.table(*scope, f"{company.topic}:0,1")
    expect("--delete-offsets", {int(row["PARTITION"]): row["STATUS"] for row in rows}, {0: "Successful", 1: "Successful"})
    expect("committed after two were deleted", company.referee.committed(group, company.topic), {p: EACH for p in range(2, PARTITIONS)})
    printed = command.run("--delete", "--group", group)
    if "was successful" not in printed:
        raise AssertionError(f"--delete printed {printed.strip()!r}")
    command.refuses("GroupIdNotFoundException", "--describe", "--group", group)
    expect("--list after --delete", group in command.run("--list").split(), False)
    expect("committed after --delete", company.referee.committed(group, company.topic), {})
    command.refuses("GroupIdNotFoundException", "--delete", "--group", group)


def cases(referee, client, bootstrap, tools):
    """(name, function) of each; none where install.sh compiled no Java."""
    if not (tools / "java/Tools.class").exists():
        return []
    command = Command(bootstrap, tools)

    def on_a_group(prove):
        with Company(referee, client, bootstrap, "range") as company:
            prove(command, company)

    return [(f"kafka's ConsumerGroupCommand, group, {name}", lambda prove=prove: on_a_group(prove)) for name, prove in
            [("list, describe, members, state", shows), ("reset-offsets", resets), ("delete-offsets, delete", deletes)]]
