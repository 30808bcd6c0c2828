"""python -m tests.suites gate | soak [--seconds N] [--seed S] [--only NAME ...]

Runs suites one after the other and prints the seconds of each and how many processors
it kept busy; the exit status is 1 when any of them failed. It goes on after a failure,
so that one violation does not hide another. The gate fails when it takes longer than it
may, and ends a suite that hangs; a campaign keeps its figures in build/soak.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

from .table import GATE, SOAK, Suite

ROOT = Path(__file__).resolve().parents[2]
LAST_LINES = 20
GATE_SECONDS = 40 * 60
END_SECONDS = 20


@dataclass(frozen=True)
class Result:
    name: str
    command: str
    status: int
    seconds: float
    processors: float
    last_lines: list[str]


def processor_seconds() -> float:
    """Return what all processes that have ended took so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def end(child: subprocess.Popen[str]) -> None:
    """End a suite as Ctrl-C does, and then by force what is left of what it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        child.wait(END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def run_suite(name: str, command: str, limit: float) -> Result:
    """Run one command for so many seconds at most, its output passed on as it comes."""
    started = time.monotonic()
    used = processor_seconds()
    last: list[str] = []
    words = [sys.executable if w == "{python}" else w for w in shlex.split(command)]
    with subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        timer = threading.Timer(limit, end, (child,))
        timer.daemon = True
        timer.start()
        try:
            for line in child.stdout:
                sys.stdout.write(line)
                sys.stdout.flush()
                last = [*last[1 - LAST_LINES :], line.rstrip()]
            child.wait()
        finally:
            timer.cancel()
            if child.poll() is None:
                end(child)
    seconds = time.monotonic() - started
    processors = (processor_seconds() - used) / seconds
    return Result(name, command, child.returncode, seconds, processors, last)


def fill_in(suite: Suite, seconds: float, seed: int, shares: float) -> str:
    """Return the suite's command with its part of the duration."""
    part = max(1, round(seconds * suite.share / shares)) if shares else 0
    return suite.command.replace("{seconds}", str(part)).replace("{seed}", str(seed))


def run_all(commands: Iterable[tuple[str, str]], limit: float) -> list[Result]:
    """Run all, one after the other; limit is the seconds of all together."""
    todo = list(commands)
    deadline = time.monotonic() + limit
    results = []
    for number, (name, command) in enumerate(todo, 1):
        print(f"== {number}/{len(todo)} {name}: {command}", flush=True)
        result = run_suite(name, command, max(1.0, deadline - time.monotonic()))
        outcome = "passed" if result.status == 0 else f"FAILED ({result.status})"
        print(f"== {name}: {outcome} in {result.seconds:.0f} s", flush=True)
        results.append(result)
    return results


def commit() -> str:
    """Return the commit that is checked out, marked if there are changes."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() or "unknown"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.suites")
    parser.add_argument("what", choices=("gate", "soak"))
    parser.add_argument("--seconds", type=float, default=3600, help="of a campaign")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these suites")
    arguments = parser.parse_args()
    suites = {suite.name for suite in (GATE if arguments.what == "gate" else SOAK)}
    unknown = set(arguments.only or ()) - suites
    if unknown:
        parser.error(f"no suite {sorted(unknown)}; there are {sorted(suites)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    suites = GATE if arguments.what == "gate" else SOAK
    chosen = [s for s in suites if not arguments.only or s.name in arguments.only]
    shares = sum(suite.share for suite in chosen)
    limit = GATE_SECONDS if arguments.what == "gate" else threading.TIMEOUT_MAX
    results = run_all(
        (
            (s.name, fill_in(s, arguments.seconds, arguments.seed, shares))
            for s in chosen
        ),
        limit,
    )
    rows = [
        (
            r.name,
            "passed" if r.status == 0 else f"FAILED ({r.status})",
            r.seconds,
            r.processors,
        )
        for r in results
    ]
    total = sum(result.seconds for result in results)
    in_time = total <= limit
    rows.append(("all", "" if in_time else f"over {limit} s", total, None))
    heads = ("suite", "result", "seconds", "processors")
    print(tabulate(rows, heads, floatfmt=("", "", ".0f", ".1f")), flush=True)
    if arguments.what == "soak":
        (ROOT / "build").mkdir(exist_ok=True)
        report = {
            "commit": commit(),
            "seed": arguments.seed,
            "machine": platform.platform(),
            "suites": [asdict(result) for result in results],
        }
        (ROOT / "build" / "soak.json").write_text(json.dumps(report, indent=1))
    return int(not in_time or any(result.status for result in results))


if __name__ == "__main__":
    sys.exit(main())
