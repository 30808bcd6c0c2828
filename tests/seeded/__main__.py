"""python -m tests.seeded [NAME ...]

Seeded bugs: each patch in this directory is applied to a copy of the tree, what is
needed is built, and suites are run until one fails. A bug that none of them catches is
a hole in the tests. What caught the bugs has to pass on the tree as it is.

    Bug: what is wrong
    Kind: race, ordering, recovery or logic
    First: the suite to begin with

is the header of a patch. A race needs two calls at once, an ordering is a store or a
fence on the wrong side of another.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from .suites import lines_for, make_run
from .trees import ROOT, SeededError, build, renew_base, run_line, what_failed

HERE = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "seeded"
BASE = BUILD / "base"
KINDS = ("race", "ordering", "recovery", "logic")
PATCH_SECONDS = 60.0


@dataclass(frozen=True)
class Patch:
    """A seeded bug."""

    path: Path
    bug: str
    kind: str
    first: str

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Caught:
    """What became of a patch; no line: nothing caught it."""

    patch: Patch
    line: str
    by: str
    seconds: float
    error: str = ""


def read_patch(path: Path) -> Patch:
    head = path.read_text().partition("\n--- ")[0]
    fields = dict(re.findall(r"^(\w+): (.+)$", head, re.MULTILINE))
    missing = {"Bug", "Kind", "First"} - set(fields)
    if missing or fields["Kind"] not in KINDS:
        sys.exit(f"{path.name}: the header lacks {missing or 'a known kind'}")
    return Patch(path, fields["Bug"], fields["Kind"], fields["First"])


# --- patches -----------------------------------------------------------------------


def try_patch(patch: Patch) -> Caught:
    result = fate_of(patch)
    state = result.error.partition("\n")[0] or result.line or "NOT CAUGHT"
    print(f"{patch.name}: {state} {result.seconds:.0f} s", flush=True)
    return result


def fate_of(patch: Patch) -> Caught:
    started = time.monotonic()
    tree = BUILD / f"tree-{patch.name}"
    shutil.rmtree(tree, ignore_errors=True)
    try:
        subprocess.run(["cp", "-a", BASE, tree], check=True)
        done = subprocess.run(
            ["patch", "-p1", "-s", "--fuzz=0", "-i", patch.path],
            cwd=tree,
            capture_output=True,
            text=True,
            timeout=PATCH_SECONDS,
        )
        if done.returncode:
            raise SeededError(f"does not apply: {done.stdout}{done.stderr}")
        for line in lines_for(patch.first):
            outcome = run_line(tree, line)
            if not outcome.passed:
                by = what_failed(outcome)
                return Caught(patch, line, by, time.monotonic() - started)
        return Caught(patch, "", "", time.monotonic() - started)
    except SeededError as error:
        return Caught(patch, "", "", time.monotonic() - started, str(error))
    finally:
        shutil.rmtree(tree, ignore_errors=True)


def check_control(lines: list[str], jobs: int) -> list[str]:
    """Run on the tree as it is whatever caught a bug; return what failed."""
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = pool.map(lambda line: run_line(BASE, line), lines)
        return [
            f"{line}: {what_failed(outcome)}\n{outcome.output[-3000:]}"
            for line, outcome in zip(lines, outcomes, strict=True)
            if not outcome.passed
        ]


def report(results: list[Caught], failures: list[str], seconds: float) -> int:
    rows = [
        (
            r.patch.name,
            r.patch.kind,
            r.line or "NOT CAUGHT",
            r.by if r.line else r.error.splitlines()[0] if r.error else "",
            r.seconds,
        )
        for r in results
    ]
    heads = ("bug", "kind", "caught by", "test", "seconds")
    print(tabulate(rows, heads, floatfmt=".0f", maxcolwidths=[None, None, 44, 60]))
    for result in results:
        if result.error:
            print(f"{result.patch.name} {result.error}", file=sys.stderr)
    for failure in failures:
        print(f"without any bug: {failure}", file=sys.stderr)
    caught = [r for r in results if r.line]
    kinds = Counter(r.patch.kind for r in caught)
    print(
        f"{len(caught)} of {len(results)} seeded bugs caught ("
        + ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS)
        + f"); without them {'the same runs pass' if not failures else 'RUNS FAIL'},"
        f" {seconds:.0f} s"
    )
    return int(len(caught) < len(results) or bool(failures) or not results)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.seeded")
    parser.add_argument("names", nargs="*", help="only patches with this in the name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    started = time.monotonic()
    patches = [read_patch(path) for path in sorted(HERE.glob("*.patch"))]
    if options.names:
        patches = [p for p in patches if any(n in p.name for n in options.names)]
    subprocess.run([ROOT / "tests" / "need.sh", "patch", "patch"], check=True)
    renew_base(BASE)
    for words in dict.fromkeys(make_run(p.first, Path()).build for p in patches):
        built = build(BASE, words, options.jobs)
        if not built.passed:
            sys.exit(f"the tree as it is does not compile: {built.output}")
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(try_patch, patches))
    lines = sorted({r.line for r in results if r.line})
    failures = check_control(lines, options.jobs)
    return report(results, failures, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
