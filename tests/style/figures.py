#!/usr/bin/env python3
"""The shape of the code in figures: sizes of files and functions, documented public items, crates and their depth.

  figures.py               this checkout
  figures.py REVISION      a commit, without touching the checkout
  figures.py REV1 REV2     two commits side by side (`.` is the checkout)

What it counts: every .rs file below crates/*/src; the part that is tests (folders and files named tests, test_*, fake_*, a `#[cfg(test)] mod` at a file's end) is
counted apart. A function's length is its lines from `fn` to its closing brace. A public item is documented when a doc comment stands before it (or, for `pub mod`, at
the top of its file). Depth is the number of crates on the longest path of dependencies.
"""

import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SCREEN = 70
Function = namedtuple("Function", "path name line length")

TOKEN = re.compile(
    r"""(?P<line>//[^\n]*)|(?P<block>/\*)|(?P<raw>\bb?r(?P<hashes>\#*)")|(?P<string>\bb?"|")|(?P<char>b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^\\'\n])')""")


def end_of_block(text, start):
    depth, place = 1, start + 2
    while depth and place < len(text):
        opened, closed = text.find("/*", place), text.find("*/", place)
        if closed < 0:
            return len(text)
        nested = 0 <= opened < closed
        depth, place = (depth + 1, opened + 2) if nested else (depth - 1, closed + 2)
    return place


def end_of_string(text, start):
    place = start
    while place < len(text) and text[place] != '"':
        place += 2 if text[place] == "\\" else 1
    return place + 1


def code_of(text):
    """The text with comments, strings and characters blanked; its lines stay where they are."""
    kept, place = [], 0
    while found := TOKEN.search(text, place):
        end = found.end()
        if found["block"]:
            end = end_of_block(text, found.start())
        elif found["raw"]:
            closed = text.find('"' + found["hashes"], end)
            end = len(text) if closed < 0 else closed + 1 + len(found["hashes"])
        elif found["string"]:
            end = end_of_string(text, end)
        kept += [text[place:found.start()], re.sub(r"[^\n]", " ", text[found.start():end])]
        place = end
    return "".join(kept) + text[place:]


def closing_brace(code, opened):
    depth = 0
    for place in range(opened, len(code)):
        depth += (code[place] == "{") - (code[place] == "}")
        if not depth:
            return place
    return len(code) - 1


def functions(path, code):
    found = []
    for match in re.finditer(r"\bfn\s+(\w+)", code):
        body = re.compile(r"[{;]").search(skip_brackets(code, match.end()))
        if body and body.group() == "{":
            opened = match.end() + body.start()
            first, last = code.count("\n", 0, match.start()), code.count("\n", 0, closing_brace(code, opened))
            found.append(Function(path, match[1], first + 1, last - first + 1))
    return found


def skip_brackets(code, start):
    """What follows `start`, with everything inside [] blanked: an array type's `;` ends no function."""
    return re.sub(r"\[[^\[\]]*\]", lambda inner: " " * len(inner.group()), code[start:start + 4_000])


def public_items(text, code):
    """(documented, all) of a file's `pub` items; what a macro names (`$name`) is an item where it is used."""
    lines, count, documented = text.split("\n"), 0, 0
    for number, line in enumerate(code.split("\n")):
        item = re.match(r"\s*pub (?:(?:const |async |unsafe )*(fn|struct|enum|trait|type|const|static|mod)|(\w+)\s*:)\b", line + " ")
        if not item or "$" in line or line.lstrip().startswith("pub const fn") and item[1] != "fn":
            continue
        count += 1
        documented += item[1] == "mod" or is_documented(lines, number)
    return documented, count


def is_documented(lines, number):
    """Says whether a doc comment stands above a line, with nothing but attributes between."""
    for above in reversed(lines[:number]):
        if above.lstrip().startswith("///"):
            return True
        if not above.strip() or above.rstrip()[-1] in "};{":
            return False
    return False


def is_test(path):
    return re.search(r"/(tests|testscripts)(/|\.rs$)|/(test|fake)_\w+(/|\.rs$)", path) is not None


def parts(text):
    """A file's text and the tests at its end."""
    at = re.search(r"^#\[cfg\((?:test|all\(test[^\n]*)\)\]\n(?:#\[[^\n]*\n)*mod \w+ \{", text, re.MULTILINE)
    return (text[:at.start()], text[at.start():]) if at else (text, "")


def tree(revision):
    """{path: text} of the sources and manifests at a revision."""
    wanted = re.compile(r"crates/[^/]+/(src/.*\.rs|Cargo\.toml)$")
    if revision == ".":
        return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.glob("crates/**/*")) if wanted.match(str(path.relative_to(ROOT)))}
    git = lambda *words: subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True).stdout  # noqa: E731
    names = [name for name in git("ls-tree", "-r", "--name-only", revision, "crates").splitlines() if wanted.match(name)]
    return {name: git("show", f"{revision}:{name}") for name in names}


def depth(files):
    uses = {}
    for path, text in files.items():
        if path.endswith("Cargo.toml"):
            section = re.search(r"^\[dependencies\]\n(.*?)(?:^\[|\Z)", text, re.MULTILINE | re.DOTALL)
            uses[path.split("/")[1]] = re.findall(r"^([\w-]+)", section[1] if section else "", re.MULTILINE)

    def below(crate):
        return 1 + max([below(used) for used in uses[crate] if used in uses], default=0)

    return len(uses), max(below(crate) for crate in uses)


def share(values, of):
    return sorted(values)[min(len(values) - 1, int(len(values) * of))]


def measure(revision):
    files = tree(revision)
    sizes, found, test_lines, documented, public = {}, [], 0, 0, 0
    for path, text in files.items():
        if not path.endswith(".rs"):
            continue
        own, tests = ("", text) if is_test(path) else parts(text)
        test_lines += tests.count("\n")
        if not own:
            continue
        code = code_of(own)
        sizes[path] = own.count("\n")
        found += functions(path, code)
        yes, all_of = public_items(own, code)
        documented, public = documented + yes, public + all_of
    lengths = [function.length for function in found]
    longest, largest = max(found, key=lambda function: function.length), max(sizes, key=sizes.get)
    crates, levels = depth(files)
    return {
        "files": len(sizes),
        "lines, tests apart": f"{sum(sizes.values()):,}",
        "lines of tests beside them": f"{test_lines:,}",
        "file: median / p90 / largest": f"{share(sizes.values(), 0.5)} / {share(sizes.values(), 0.9)} / {sizes[largest]}",
        "largest file": largest,
        "files over 400 lines": sum(size > 400 for size in sizes.values()),
        "functions": len(found),
        "function: median / p90 / longest": f"{share(lengths, 0.5)} / {share(lengths, 0.9)} / {longest.length}",
        "longest function": f"{longest.name} in {longest.path}",
        f"functions over {SCREEN} lines": f"{100 * sum(length > SCREEN for length in lengths) / len(lengths):.1f} %",
        "public items documented": f"{100 * documented / public:.1f} % of {public}",
        "crates / depth": f"{crates} / {levels}",
    }


def main():
    revisions = sys.argv[1:] or ["."]
    columns = [measure(revision) for revision in revisions]
    print("| figure | " + " | ".join("this checkout" if revision == "." else revision for revision in revisions) + " |")
    print("|--" * (len(columns) + 1) + "|")
    for figure in columns[0]:
        print(f"| {figure} | " + " | ".join(str(column[figure]) for column in columns) + " |")


if __name__ == "__main__":
    main()
