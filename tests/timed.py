#!/usr/bin/env python3
"""How long each part of a run takes, measured by the run itself.

  timed.py start                  forgets what was measured before
  timed.py run PART COMMAND...    runs a command, passes its output and exit status on, and notes its time, and of cargo's tests that of each program;
                                  when it fails, the table is printed
  timed.py table                  prints what was noted, longest first
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

LONGEST = 15
NOTES = Path(__file__).resolve().parent.parent / "target/timed.jsonl"
# What cargo says before it runs a program of tests, and what that says at its end.
PROGRAM = re.compile(r"^\s+Running (?:unittests )?(\S+) \((?:\S*/)?([^/\s]+)-[0-9a-f]+\)$")
DOC_TESTS = re.compile(r"^\s+Doc-tests (\S+)$")
# What a test says that had a cluster (tests/src/turn.rs); one after the other, so that these are the time of their program.
TURN = re.compile(r"^turn: (\S+): ([0-9.]+) s$")
FINISHED = re.compile(r"^test result: .* (\d+) passed; .*finished in ([0-9.]+)s$")


def note(part, seconds, tests=None):
    NOTES.parent.mkdir(exist_ok=True)
    with open(NOTES, "a", encoding="utf-8") as notes:
        notes.write(json.dumps([part, seconds, tests]) + "\n")


def name_of(source, program):
    """What a program of tests is called in the table: by its package when the tests stand in the sources, else by its file."""
    return f"unit tests of {program.replace('_', '-')}" if source.startswith("src/") else program


def run(part, command):
    """Runs a command; what its test programs do not account for is the part's own, which for cargo is building."""
    begun, accounted, current = time.monotonic(), 0.0, None
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", bufsize=1)
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        if found := PROGRAM.match(line):
            current = name_of(*found.groups())
        elif found := DOC_TESTS.match(line):
            current = "documentation's tests"
        elif found := TURN.match(line):
            note(found[1], float(found[2]), "turn")
        elif (found := FINISHED.match(line)) and current:
            seconds = float(found[2])
            accounted += seconds
            if int(found[1]):
                note(current, seconds, int(found[1]))
            current = None
    status = process.wait()
    note(part, max(time.monotonic() - begun - accounted, 0.0))
    if status:
        table()
    return status if status >= 0 else 128 - status


def table():
    lines = [json.loads(line) for line in NOTES.read_text(encoding="utf-8").splitlines()] if NOTES.exists() else []
    parts, turns = {}, []
    for part, seconds, tests in lines:
        if tests == "turn":
            turns.append((seconds, part))
            continue
        before = parts.get(part, (0.0, 0))
        parts[part] = (before[0] + seconds, before[1] + (tests or 0))
    print("\n seconds  tests  part")
    for part, (seconds, tests) in sorted(parts.items(), key=lambda entry: -entry[1][0]):
        print(f"{seconds:8.1f}  {tests or '':>5}  {part}")
    print(f"{sum(seconds for seconds, _ in parts.values()):8.1f}  {sum(tests for _, tests in parts.values()):>5}  in all")
    if turns:
        print(f"\n seconds  the {min(len(turns), LONGEST)} longest of {len(turns)} tests with a cluster, which run one after the other")
    for seconds, test in sorted(turns, reverse=True)[:LONGEST]:
        print(f"{seconds:8.1f}  {test}")
    return 0


def main():
    match sys.argv[1:]:
        case ["start"]:
            NOTES.unlink(missing_ok=True)
            return 0
        case ["run", part, *command] if command:
            return run(part, command)
        case ["table"]:
            return table()
    print(__doc__.strip(), file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # The command has got the signal, too.
        sys.exit(130)
