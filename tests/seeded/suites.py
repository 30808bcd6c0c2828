"""The suites that a seeded bug is tried on, from cheap to dear."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Tests of tests/c that come into question for any bug; the others only when a patch
# names them.
QUICK_C = (
    "ops verbs index many block record row scan segment object close fork pin recover"
    " lock model stop"
).split()


@dataclass(frozen=True)
class Run:
    """One command of a suite in a copy of the tree.

    Attributes:
        line: as in the header of a patch, e.g. "c pin a_run_pinned".
        build: words for make.
        command: what is run.
        limit: seconds on a busy machine; more count as a hang.
    """

    line: str
    build: tuple[str, ...]
    command: tuple[str, ...]
    limit: float


def make_run(line: str, python: Path) -> Run:
    """Turn a line into what it stands for.

    Args:
        line: "c PROGRAM [WORD]", "python PYTEST-ARGUMENT ...", or the name of a program
            with arguments: interleave, orders, kill, linear, famine,
            stress-provoked.
        python: the interpreter with the test dependencies.
    """
    suite, *words = shlex.split(line)
    if suite == "c":
        program = f"../../build/plain/test_{words[0]}"
        build = ("tests/c", "OUT=../../build/plain", "SANITIZE=", program)
        return Run(line, build, (f"build/plain/test_{words[0]}", *words[1:]), 120)
    if suite == "python":
        pytest = (str(python), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
        return Run(line, ("tests/c", "hold_lock"), (*pytest, *words), 300)
    if suite == "stress-provoked":
        build = ("tests/stress", f"../../build/c/{suite}")
        return Run(line, build, (f"build/c/{suite}", *words), 200)
    if suite == "orders":
        build = ("tests/interleave", "../../build/interleave/orders")
        return Run(line, build, ("build/interleave/orders", *words), 120)
    jobs = ("--jobs", str(os.cpu_count())) if suite in ("interleave", "kill") else ()
    build = (f"tests/{suite}", f"../../build/{suite}/{suite}")
    return Run(line, build, (f"build/{suite}/{suite}", *jobs, *words), 300)


def lines_for(first: str) -> Iterator[str]:
    """Yield what to run, in order: what the patch names, then everything else."""
    yield first
    if first.startswith("python"):
        yield "python tests/unit tests/contract tests/process"
        return
    yield from (f"c {name}" for name in QUICK_C)
    yield "orders"
    yield "interleave --budget 10"
    yield "kill --deep 1 --stride 400"
    yield "linear --operations 200000"
    yield "c death"
    yield "stress-provoked --seconds 10 --threads 2 --size-mb 2"
