"""Run the programs of the coverage build, several at once; fail if one of them does."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# What is not a test of its own decides by arguments how much it does.
ARGUMENTS: dict[str, list[str]] = {
    "stress": [
        *("--seconds", "8", "--threads", "2", "--size-mb", "2", "--processes", "4")
    ],
    # One of the scenes in which a process dies at every point; tests/kill has them all.
    "test_death": ["untouched"],
    "test_model": ["one_mib"],
    "interleave": ["--budget", "3"],
    "damage": ["--loads", "12", "--hostile", "0"],
    "famine": ["--brief", "inject", "limits", "files", "finish", "cgroup"],
}
# Long runs that reach nothing that the others do not.
SKIPPED_TESTS = {"test_sizes", "test_stop", "test_evict"}


def run(out: Path, name: str) -> bool:
    """Run one program, a second time if it fails; print all it says if it does again.

    Whether the core is right is for the suites of these programs to say, which run
    them with nothing beside them and without -O0.
    """
    return attempt(out, name, last=False) or attempt(out, name, last=True)


def attempt(out: Path, name: str, last: bool) -> bool:
    """Run one program; print what it says if it fails at last."""
    started = time.monotonic()
    done = subprocess.run(
        [str(out / name), *ARGUMENTS.get(name, [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    # On a slow machine the stress test says that it was not long enough, rightly.
    passed = done.returncode == 0 or (
        name == "stress" and '"violations": 0,' in done.stdout
    )
    word = "ok  " if passed else "FAIL" if last else "once more:"
    print(f"{word} {name} {time.monotonic() - started:.0f} s", flush=True)
    if not passed and last:
        print(done.stdout, flush=True)
    return passed


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("programs", nargs="+")
    arguments = parser.parse_args()
    for path in arguments.out.glob("*/*.gcda"):
        path.unlink()
    names = [name for name in arguments.programs if name not in SKIPPED_TESTS]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        passed = list(pool.map(lambda name: run(arguments.out, name), names))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
