"""What the core's own get and set cost, without Python, and pogocache's beside them."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..processes import (
    BenchmarkError,
    end_process,
    has_exited,
    poll_until,
    start_process,
)

TITLE = "Nanoseconds a call of the core, keys of 16 and values of 100 bytes"
NOTE = (
    "Keys in an order that no prefetcher guesses; 5 runs of each engine in turns, each "
    "of 5 rounds; nanoseconds as each thread sees them, of the best round of all. To "
    "load, to store: medians of the runs' ratios to pogocache beside them, in brackets "
    "least and most. Given: pogocache's figures of an earlier time on another machine "
    "of this kind; of its load on two threads 180 to 290 ns are given, the lower end "
    "stands here. Times one thread: gets a second of all threads. get_many asks for 50 "
    "keys at a time. In huge pages: of 2 MiB (`huge_pages=True`), in turns with the "
    "core without, and the medians of the runs' ratios to it."
)
COLUMNS = {
    "entries": "{entries:,}",
    "threads": "{threads:d}",
    "get": "{get_ns:,.0f}",
    "pogocache load": "{load_ns:,.0f}",
    "get to load": "{get_to_load:.2f} ({get_low:.2f}-{get_high:.2f})",
    "load, given": "{given_load_ns:,.0f}",
    "get_many, a key": "{get_many_ns:,.0f}",
    "miss": "{miss_ns:,.0f}",
    "set": "{set_ns:,.0f}",
    "pogocache store": "{store_ns:,.0f}",
    "set to store": "{set_to_store:.2f} ({set_low:.2f}-{set_high:.2f})",
    "store, given": "{given_store_ns:,.0f}",
    "gets a second, millions": "{get_millions:.1f}",
    "times one thread": "{get_times:.2f}",
    "get in huge pages": "{get_huge_ns:,.0f}",
    "get, times without": "{get_huge:.2f} ({get_least:.2f}-{get_most:.2f})",
    "set in huge pages": "{set_huge_ns:,.0f}",
    "set, times without": "{set_huge:.2f} ({set_least:.2f}-{set_most:.2f})",
}
ENTRIES = (1_000, 100_000, 1_000_000)
THREADS = (1, 2)
GIVEN_NS = {
    (1_000, 1): (76, 85),
    (100_000, 1): (240, 138),
    (1_000_000, 1): (750, 265),
    (1_000, 2): (180, None),
}
"""pogocache's load and store by entries and threads, as they were told."""

TURNS = 5
ROUNDS = 5
LIMIT_S = 300.0
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "bench-core"
PEER = ROOT / "build" / "bench-pogocache"


def output_of(command: list[str], folder: Path) -> str:
    """Run a command in the root of the checkout and return what it wrote.

    Raises:
        BenchmarkError: it failed, or took too long.
        StoppedError: a signal asked the run to stop.
    """
    path = folder / "output"
    with path.open("wb") as log:
        process = start_process(command, log=log.fileno(), cwd=str(ROOT))
    try:
        poll_until(partial(has_exited, process), LIMIT_S, f"end of {command[0]}")
    finally:
        end_process(process)
    text = path.read_text(errors="replace")
    if process.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)} failed: {text.strip()[-2000:]}")
    return text


def build(program: Path, folder: Path, *words: str) -> None:
    """Have make build a program: it knows the extension's flags, and what is newer."""
    beside = str(Path(sys.executable).parent)
    target = str(program.relative_to(ROOT))
    output_of(["make", target, f"BIN={beside}", *words], folder)


def ratios(
    some: list[dict[str, Any]], others: list[dict[str, Any]], field: str
) -> tuple[float, float, float]:
    """Return median, least and most of the ratios of runs that took turns."""
    each = [one[field] / other[field] for one, other in zip(some, others, strict=True)]
    return statistics.median(each), min(each), max(each)


def beside(own: list[dict[str, Any]], peer: list[dict[str, Any]]) -> dict[str, float]:
    """Return pogocache's figures and the ratios to them."""
    row: dict[str, float] = {}
    for verb, its in (("get", "load"), ("set", "store")):
        middle, least, most = ratios(own, peer, f"{verb}_ns")
        row[f"{its}_ns"] = min(run[f"{verb}_ns"] for run in peer)
        row |= {f"{verb}_to_{its}": middle, f"{verb}_low": least, f"{verb}_high": most}
    return row


def in_huge_pages(
    huge: list[dict[str, Any]], own: list[dict[str, Any]]
) -> dict[str, float]:
    """Return figures in huge pages and the ratios to those without.

    Nothing, if in some of the runs the kernel gave less than nine tenths.
    """
    row: dict[str, float] = {}
    if min(run["huge_share"] for run in huge) < 0.9:
        return row
    for verb in ("get", "set"):
        middle, least, most = ratios(huge, own, f"{verb}_ns")
        row[f"{verb}_huge_ns"] = min(run[f"{verb}_ns"] for run in huge)
        row |= {f"{verb}_huge": middle, f"{verb}_least": least, f"{verb}_most": most}
    return row


def best_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one row of the best figures of several runs."""
    row: dict[str, Any] = {}
    for name in runs[0]:
        best = max if name.endswith("_per_second") else min
        row[name] = best(run[name] for run in runs)
    return row


def rows(folder: Path, pogocache: Path | None = None) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of entries and of threads.

    Args:
        folder: for the output of what is run.
        pogocache: absolute path of a checkout of pogocache, to be measured in turns.
    """
    build(PROGRAM, folder)
    engines = {"core": (PROGRAM, ""), "huge": (PROGRAM, "huge")}
    if pogocache is not None:
        build(PEER, folder, f"POGOCACHE={pogocache}")
        engines["pogocache"] = (PEER, "")
    for entries in ENTRIES:
        one = 0.0
        for threads in THREADS:
            words = [str(entries), str(threads), str(ROUNDS)]
            runs: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
            for _ in range(TURNS):
                for name, (program, pages) in engines.items():
                    command = [str(program), *words, *pages.split()]
                    text = output_of(command, folder)
                    runs[name].append(json.loads(text))
            row = best_of(runs["core"]) | in_huge_pages(runs["huge"], runs["core"])
            if pogocache is not None:
                row |= beside(runs["core"], runs["pogocache"])
            row["get_millions"] = row["get_per_second"] / 1e6
            one = one or row["get_per_second"]
            row["get_times"] = row["get_per_second"] / one
            load, store = GIVEN_NS.get((entries, threads), (None, None))
            if load is not None:
                row["given_load_ns"] = load
            if store is not None:
                row["given_store_ns"] = store
            yield row
