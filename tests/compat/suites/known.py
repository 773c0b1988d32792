"""The committed list of cases that cannot pass, and its comparison with what a run showed.

known.txt has a section for each target ([steadfast], [kafka]) and in it one line a case: suite | case | fails or varies | reason. In suite and case, * stands for anything.
`fails`: the case fails in every run. `varies`: it passes or fails by luck, against any broker; its reason says how that is known.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass
class Entry:
    """One line of the list."""

    line: int
    suite: str
    case: str
    kind: str
    reason: str

    def holds(self, suite, case):
        return matches(suite, self.suite) and matches(case, self.case)


def matches(name, pattern):
    """Only * is special: names of cases have brackets in them."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def read(path, target):
    """The entries of one target's section."""
    entries, section = [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        fields = [field.strip() for field in line.split(" | ")]
        if len(fields) != 4 or fields[2] not in ("fails", "varies") or not all(fields):
            raise SystemExit(f"{path}:{number}: not 'suite | case | fails or varies | reason': {line}")
        if section == target:
            entries.append(Entry(number, *fields))
    return entries


def unlisted(entries, suite, cases):
    """The cases that fail and do not stand in the list."""
    return [case for case in cases if case.state == "fail" and not any(entry.holds(suite, case.name) for entry in entries)]


def stale(entries, results):
    """What the list says and the run did not show: an entry whose case passes, or is not there. Entries of suites that did not run are left alone."""
    lines = []
    for entry in entries:
        if not any(matches(suite, entry.suite) for suite in results):
            continue
        states = [(suite, case) for suite, cases in results.items() for case in cases if entry.holds(suite, case.name)]
        if not states:
            lines.append(f"line {entry.line}: {entry.suite} has no case {entry.case}; remove the line")
        elif entry.kind == "fails":
            lines += [f"line {entry.line}: {case.name} passes in {suite}; remove or narrow the line" for suite, case in states if case.state == "pass"]
    return lines
