"""What the core's own get and set cost, without Python."""

from __future__ import annotations

import json
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
    "Keys in an order that no prefetcher guesses; best of 25 rounds, nanoseconds as "
    "each thread sees them. Figures of pogocache's embedded interface are given ones, "
    "taken elsewhere on a machine of this kind, not in this run. Of its load on two "
    "threads 180 to 290 ns are given; the lower end stands here. Times one thread: "
    "gets a second of all threads. get_many asks for 50 keys at a time."
)
COLUMNS = {
    "entries": "{entries:,}",
    "threads": "{threads:d}",
    "get": "{get_ns:,.0f}",
    "pogocache load, given": "{given_load_ns:,.0f}",
    "get to load": "{get_to_load:.2f}",
    "get_many, a key": "{get_many_ns:,.0f}",
    "miss": "{miss_ns:,.0f}",
    "set": "{set_ns:,.0f}",
    "pogocache store, given": "{given_store_ns:,.0f}",
    "set to store": "{set_to_store:.2f}",
    "gets a second, millions": "{get_millions:.1f}",
    "times one thread": "{get_times:.2f}",
}
ENTRIES = (1_000, 100_000, 1_000_000)
THREADS = (1, 2)
GIVEN_NS = {
    (1_000, 1): (76, 85),
    (100_000, 1): (240, 138),
    (1_000_000, 1): (750, 265),
    (1_000, 2): (180, None),
}
"""pogocache's load and store by entries and threads, as they are known."""

ROUNDS = 25
LIMIT_S = 300.0
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "bench-core"


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


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of entries and of threads."""
    # make knows the flags of the extension, and whether the sources are newer.
    beside = str(Path(sys.executable).parent)
    output_of(["make", str(PROGRAM.relative_to(ROOT)), f"BIN={beside}"], folder)
    for entries in ENTRIES:
        one = 0.0
        for threads in THREADS:
            words = [str(PROGRAM), str(entries), str(threads), str(ROUNDS)]
            row: dict[str, Any] = json.loads(output_of(words, folder))
            row["get_millions"] = row["get_per_second"] / 1e6
            one = one or row["get_per_second"]
            row["get_times"] = row["get_per_second"] / one
            load, store = GIVEN_NS.get((entries, threads), (None, None))
            if load is not None:
                row |= {"given_load_ns": load, "get_to_load": row["get_ns"] / load}
            if store is not None:
                row |= {"given_store_ns": store, "set_to_store": row["set_ns"] / store}
            yield row
