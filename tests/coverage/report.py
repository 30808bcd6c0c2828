"""Print lines and branches per file; compare what is not covered with a reviewed list.

    report.py UNCOVERED.txt [COVERAGE.json] [--least PERCENT]

A line of the list is `file: function function ...: why some branches are not reached`;
a ~ before a function says that it depends on the run. It fails if a function with
branches that were not taken is missing, if one that stands there is covered or does not
exist, if the list has more than 40 lines, or if fewer than PERCENT of all branches were
taken. Without COVERAGE.json only the form of the list is looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

LINES_MAX = 40
LINE_LENGTH_MAX = 120


@dataclass
class File:
    lines: int = 0
    lines_run: int = 0
    branches: int = 0
    taken: int = 0
    functions: set[str] = field(default_factory=set)
    missing: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def read(path: Path) -> dict[str, File]:
    """Sum up what gcovr wrote."""
    files: dict[str, File] = {}
    for entry in json.loads(path.read_text())["files"]:
        file = files.setdefault(Path(entry["file"]).name, File())
        for line in entry["lines"]:
            if line.get("gcovr/excluded") or line.get("gcovr/noncode"):
                continue
            function = line.get("function_name") or "?"
            file.functions.add(function)
            file.lines += 1
            file.lines_run += line["count"] > 0
            for branch in line["branches"]:
                file.branches += 1
                file.taken += branch["count"] > 0
                if branch["count"] == 0:
                    file.missing[function].append(line["line_number"])
    return files


def percent(part: int, whole: int) -> float:
    """Percentage, 100 of nothing."""
    return 100.0 * part / whole if whole else 100.0


def read_list(listed: Path) -> tuple[dict[str, bool], list[str]]:
    """Return the functions of the list, whether each depends on the run, and faults."""
    wrong = []
    known: dict[str, bool] = {}
    text = [line for line in listed.read_text().splitlines() if line.strip()]
    if len(text) > LINES_MAX:
        wrong.append(f"{listed.name} has {len(text)} lines, at most {LINES_MAX}")
    for line in text:
        name, _, rest = line.partition(":")
        functions, _, why = rest.partition(":")
        if not why.strip() or len(line) > LINE_LENGTH_MAX:
            wrong.append(f"no reason, or too long a line: {line}")
        for function in functions.split():
            known[f"{name}:{function.removeprefix('~')}"] = function.startswith("~")
    return known, wrong


def compare(files: dict[str, File], known: dict[str, bool]) -> list[str]:
    """Return how the list differs from what is not covered."""
    wrong = []
    found = {
        f"{name}:{function}": lines
        for name, file in files.items()
        for function, lines in file.missing.items()
    }
    for name, lines in sorted(found.items()):
        if name not in known:
            wrong.append(f"not covered, not listed: {name} lines {sorted(set(lines))}")
    there = {
        f"{name}:{function}"
        for name, file in files.items()
        for function in file.functions
    }
    wrong += [
        f"listed, but does not exist: {name}" for name in known if name not in there
    ]
    for name, sometimes in known.items():
        if name not in found and not sometimes:
            wrong.append(f"listed, but covered: {name}")
    return wrong


def show(files: dict[str, File], known: dict[str, bool], least: float) -> list[str]:
    """Print lines and branches; return what is wrong with them."""
    rows = [
        (
            name,
            file.lines,
            percent(file.lines_run, file.lines),
            file.branches,
            percent(file.taken, file.branches),
            file.branches - file.taken,
        )
        for name, file in sorted(files.items())
    ]
    heads = ("file", "lines", "run %", "branches", "taken %", "not taken")
    print(tabulate(rows, heads, floatfmt=".1f"))
    lines = sum(file.lines for file in files.values())
    lines_run = sum(file.lines_run for file in files.values())
    branches = sum(file.branches for file in files.values())
    taken = sum(file.taken for file in files.values())
    reached = percent(taken, branches)
    print(
        f"csrc/: {lines_run} of {lines} lines ({percent(lines_run, lines):.1f} %), "
        f"{taken} of {branches} branches ({reached:.2f} %)"
    )
    wrong = compare(files, known)
    if reached < least:
        wrong.append(f"{reached:.2f} % of branches, at least {least}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("uncovered", type=Path)
    parser.add_argument("coverage", type=Path, nargs="?")
    parser.add_argument("--least", type=float, default=95.0)
    arguments = parser.parse_args()
    known, wrong = read_list(arguments.uncovered)
    if arguments.coverage:
        wrong += show(read(arguments.coverage), known, arguments.least)
    for line in wrong:
        print(line)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
