"""lilcache beside its peers, in turns in one run: python -m benchmarks.performance.

What compares single calls runs in one uWSGI process, since its cache can be called
nowhere else; what needs processes of its own runs outside. The report is JSON, with the
figures of every round; its tables are printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from . import inside_uwsgi
from .interleaved import Cell, measure
from .peers import PEERS, Verbs, peer
from .performance_tables import tables
from .processes import BenchmarkError, StoppedError, catch_stop_signals, check_stop

INSIDE = ("latency", "sizes", "mixes")
ALONE = {
    "scaling": "alone.scaling",
    "memory": "alone.memory",
    "compression": "alone.compression",
    "private": "alone.private",
    "tails": "alone.tails",
    "convoy": "alone.convoy",
    "core": "alone.core",
    "over_redis": "alone.over_redis",
    "servers": "hitratio.servers",
}
UWSGI_MB = 256
WARM_BYTES = 100_000
WARM_KEYS = [f"warm:{number:02d}" for number in range(64)]
"""So many that each shard gets its share."""


def warm(verbs: Verbs, size_mb: int) -> None:
    """Have a cache that writes behind go through all of its memory, as it soon has.

    A page costs many times as much when it is first written. Such a cache would meet
    pages like that all through a run, one that writes over its values none.
    """
    if not verbs.writes_behind:
        return
    assert verbs.set is not None
    assert verbs.delete is not None
    value = b"x" * WARM_BYTES
    for number in range(2 * (size_mb << 20) // WARM_BYTES):
        check_stop()
        verbs.set(WARM_KEYS[number % len(WARM_KEYS)], value)
    for key in WARM_KEYS:
        verbs.delete(key)


def suite_samples(name: str, peers: Sequence[str], rounds: int) -> dict[str, Any]:
    """Measure one suite: title, and for each cell peer, what and samples."""
    suite = import_module(f"{__package__}.suites.{name}")
    cells: list[Cell] = []
    with ExitStack() as stack:
        for of in peers:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="lc-"))
            )
            verbs = stack.enter_context(peer(of).opened(suite.SIZE_MB, folder))
            warm(verbs, suite.SIZE_MB)
            cells += suite.cells(of, verbs)
        measure(cells, rounds)
    rows = [
        {
            "peer": c.peer,
            "what": c.what,
            "calls": c.calls,
            "samples": [round(s, 1) for s in c.samples],
        }
        for c in cells
    ]
    return {
        "title": suite.TITLE,
        "rounds": rounds,
        "by_verb": suite.BY_VERB,
        "cells": rows,
    }


def alone_rows(name: str, **given: Any) -> dict[str, Any]:
    """Measure one table: title, note, columns and rows."""
    suite = import_module(f"{__package__}.{ALONE[name]}")
    with tempfile.TemporaryDirectory(prefix="lc-") as folder:
        rows = list(suite.rows(Path(folder), **given))
    return {
        "title": suite.TITLE,
        "note": suite.NOTE,
        "columns": suite.COLUMNS,
        "rows": rows,
    }


def measure_all(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Measure suites, those inside uWSGI first, into a report."""
    report: dict[str, Any] = {}
    given = {
        "servers": {"directory": options.traces},
        "core": {"pogocache": options.pogocache},
        "tails": {"rounds": options.rounds},
    }
    path: Path = options.json
    if any(name in INSIDE for name in options.suites):
        inside_uwsgi.run(f"{__package__}.performance", arguments, UWSGI_MB)
        report |= json.loads(path.read_text())
    for name in options.suites:
        if name in ALONE:
            report[name] = alone_rows(name, **given.get(name, {}))
    path.write_text(json.dumps(report) + "\n")


def pogocache_checkout(text: str) -> Path:
    """Return the path of a checkout of pogocache, refused before anything is run."""
    path = Path(text).resolve()
    if not (path / "src" / "pogocache.c").is_file():
        raise argparse.ArgumentTypeError(
            f"no src/pogocache.c in {path}: give a checkout of "
            "https://github.com/tidwall/pogocache"
        )
    return path


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.performance")
    every = (*INSIDE, *ALONE)
    made.add_argument("--suites", nargs="+", choices=every, default=every)
    made.add_argument("--peers", nargs="+", choices=PEERS, default=tuple(PEERS))
    made.add_argument("--rounds", type=int, default=100)
    made.add_argument(
        "--traces", type=Path, help="folder of trace files; without it synthetic ones"
    )
    made.add_argument(
        "--pogocache",
        type=pogocache_checkout,
        help="checkout of https://github.com/tidwall/pogocache, beside the core",
    )
    made.add_argument("--json", type=Path, required=True, help="file for the report")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run within uWSGI, wherever this was started, and print the tables outside."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    catch_stop_signals()
    if inside_uwsgi.is_inside():
        report = {
            name: suite_samples(name, options.peers, options.rounds)
            for name in options.suites
            if name in INSIDE
        }
        options.json.write_text(json.dumps(report) + "\n")
        return 0
    try:
        measure_all(options, given)
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signum
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tables(json.loads(options.json.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
