"""Copies of the tree, to be changed, built and tested."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from .running import Outcome, run_limited
from .suites import make_run

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("csrc", "lilcache", "tests", "build_ffi.py", "pyproject.toml", "Makefile")
COMPILER = ROOT / "build" / "seeded-cc"
BUILD_SECONDS = 600.0


class SeededError(Exception):
    """A change does not apply or compile."""


def ignored(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__"}


def renew_base(base: Path) -> None:
    """Bring a copy of the tree up to date; objects that are newer stay."""
    base.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source, copy = ROOT / name, base / name
        if source.is_dir():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy, ignore=ignored)
        else:
            shutil.copy2(source, copy)
    # A change may leave something unused; symbols are for nobody here.
    COMPILER.write_text('#!/bin/sh\nexec cc "$@" -w -g0\n')
    COMPILER.chmod(0o755)


def build(tree: Path, words: tuple[str, ...], jobs: int = 1) -> Outcome:
    """Make targets in a folder of the tree, so many files at once."""
    folder, *targets = words
    make = ["make", "-s", f"-j{jobs}", "-C", folder, f"CC={COMPILER}", *targets]
    return run_limited(make, tree, BUILD_SECONDS)


def run_line(tree: Path, line: str) -> Outcome:
    """Build what a line of suites.py needs, and run it.

    Raises:
        SeededError: It does not compile.
    """
    run = make_run(line, Path(sys.executable))
    built = build(tree, run.build)
    if not built.passed:
        raise SeededError(f"does not compile: {built.output[-2000:]}")
    paths = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return run_limited(run.command, tree, run.limit, paths)


def what_failed(outcome: Outcome) -> str:
    """Return the test that failed, or the message of a suite without names."""
    if outcome.status is None:
        return "time limit"
    names = re.findall(r"^(?:FAIL|FAILED) (\S+)", outcome.output, re.MULTILINE)
    if names:
        return str(names[0])
    lines = [x.strip() for x in outcome.output.splitlines() if x.strip()]
    telling = [x for x in lines if "VIOLATION" in x or '"message"' in x] or lines
    return telling[0][:100] if telling else f"status {outcome.status}"
