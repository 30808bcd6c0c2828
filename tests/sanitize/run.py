"""Run programs built with ThreadSanitizer; fail on any report and on any failed test.

    run.py --out FOLDER [--jobs N] [TEST ...] [-- PROGRAM ARGUMENT ...]

Several tests run at once. Reports go to files next to the programs, where they are
found whatever became of the process. At the end: how often each optimistic read of
csrc/race.def ran and how many were shown to the detector once they counted; all must
have run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def run(out: Path, command: list[str]) -> bool:
    """Run one program; print what it says if it fails, its last line otherwise."""
    name = command[0]
    log = out / f"report-{name}"
    options = f"halt_on_error=1 exitcode=66 log_path={log.absolute()}"
    environment = {
        **os.environ,
        "TSAN_OPTIONS": options,
        "TSAN_SITES": str(out / f"sites-{name}"),
    }
    started = time.monotonic()
    done = subprocess.run(
        [str(out / name), *command[1:]],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    seconds = time.monotonic() - started
    reports = sorted(out.glob(f"{log.name}.*"))
    passed = done.returncode == 0 and not reports
    lines = done.stdout.splitlines()
    summary = lines[-1] if passed and lines else ""
    if not passed:
        summary = done.stdout + "".join(path.read_text() for path in reports)
    elif len(summary) > 100:
        summary = ""
    print(
        f"{'ok  ' if passed else 'FAIL'} {name} {seconds:.0f} s {summary}", flush=True
    )
    return passed


def sites(out: Path) -> bool:
    """Sum up what the programs left about optimistic reads."""
    times: Counter[str] = Counter()
    for path in out.glob("sites-*"):
        for line in path.read_text().splitlines():
            name, *numbers = line.split()
            times[name] += int(numbers[0])
            if len(numbers) > 1:
                times["skipped"] += int(numbers[1])
    counted, skipped = times.pop("counts"), times.pop("skipped")
    never = [name for name, count in times.items() if count == 0]
    print(
        f"{len(times)} optimistic reads, all run: "
        + " ".join(f"{name}={count}" for name, count in times.items())
    )
    print(f"{counted} reads shown once they counted, {skipped} had changed by then")
    if never or counted == 0:
        print(f"never run: {never}")
    return not never and counted > 0


def main() -> int:
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("tests", nargs="*")
    arguments = parser.parse_args(words[:split])
    commands = [[name] for name in arguments.tests]
    if words[split + 1 :]:
        commands.insert(0, words[split + 1 :])
    for pattern in ("report-*", "sites-*"):
        for path in arguments.out.glob(pattern):
            path.unlink()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        passed = list(pool.map(lambda c: run(arguments.out, c), commands))
    return 0 if sites(arguments.out) and all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
