"""Whether many processes on two cores wait for one that was preempted with a lock."""

from __future__ import annotations

import gc
import os
import random
import resource
import time
from array import array
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lilcache import Cache

from ..peers import shared_peer
from ..processes import check_stop
from ..progress import progress_bar
from .scaling import Crew

PROCESSES = 20
CORES = 2
TITLE = f"Slow calls of {PROCESSES} processes on {CORES} cores, in one segment or none"
NOTE = (
    "Each process draws keys, half of the calls are sets and half gets, values of up "
    "to 4 KiB, and everything is evicted all the time: in 64 MiB that all share, and, "
    "in turns with it, in 64 MiB of its own for each process. "
    "Alone a call is slow when the process is preempted in it, and that is chance; "
    "sharing adds the waits for a lock. Over 1 ms, over 4 ms: calls of a million that "
    "took longer. Slept: of a million calls, how often the process gave its core away "
    "by itself, as a wait for a lock does. Percentiles in microseconds. Medians of the "
    "rounds; in brackets least and most."
)
COLUMNS = {
    "": "{load}",
    "in": "{title}",
    "calls a second, thousands": "{thousands:,.0f}",
    "over 1 ms": "{over_1_ms:,.0f} ({over_1_ms_low:,.0f}-{over_1_ms_high:,.0f})",
    "over 4 ms": "{over_4_ms:,.0f} ({over_4_ms_low:,.0f}-{over_4_ms_high:,.0f})",
    "slept": "{slept:,.0f} ({slept_low:,.0f}-{slept_high:,.0f})",
    "p50": "{p50_us:.1f}",
    "p99": "{p99_us:.1f}",
    "p99.9": "{p999_us:.1f}",
    "p99.99": "{p9999_us:,.0f}",
    "in calls over 1 ms": "{slow_share:.0%}",
    "asleep": "{asleep_share:.1%}",
    "all stalled 1 ms": "{stalled_1_ms:.1f}",
    "all stalled 4 ms": "{stalled_4_ms:.1f}",
}
SHARED, OWN = "one segment", "a segment each"
SIZE_MB = 64
KEYS = 200_000
SIZES = (16, 4096)
"""Drawn evenly by their logarithm: about 700 bytes in the mean, twice what fits."""

ROUNDS = 7
SECONDS = 2.0
DRAWN = 20_000
"""Calls that each process has drawn before; they are made again and again."""

BETWEEN = {"calls alone": 0, "2,000 empty loops between": 2000}
"""What a process does besides; the loops take about 40 microseconds."""

CHUNK = 50
"""Calls between two looks at how late it is."""

LIMITS_MS = (1, 4)
PERCENTILES = {"p50_us": 50, "p99_us": 99, "p999_us": 99.9, "p9999_us": 99.99}


def drawn(dice: random.Random) -> list[tuple[str, int]]:
    """Return keys and value sizes; 0 is a get."""
    low, high = SIZES
    made = []
    for _ in range(DRAWN):
        size = int(low * (high / low) ** dice.random())
        is_get = dice.random() < 0.5
        made.append((f"c{dice.randrange(KEYS):09d}", 0 if is_get else size))
    return made


def fill(verbs: Any) -> None:
    """Set more than fits."""
    dice = random.Random(0)
    value = bytes(SIZES[1])
    low, high = SIZES
    for number in range(KEYS):
        size = int(low * (high / low) ** dice.random())
        verbs.set(f"c{number:09d}", value[:size])


def work(
    number: int, line: Connection, folder: Path, shares: bool, between: int
) -> None:
    """Use the cache of all, or one of its own; at each word time the calls."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    gc.disable()
    if shares:
        with shared_peer("lilcache").joined(SIZE_MB, folder) as verbs:
            serve(verbs, line, drawn(random.Random(number)), between)
    else:
        with closing(Cache(size_mb=SIZE_MB, anonymous=True)) as cache:
            fill(cache)
            serve(cache, line, drawn(random.Random(number)), between)


def serve(
    verbs: Any, line: Connection, calls: list[tuple[str, int]], between: int
) -> None:
    """Do what ``Crew`` says: send nanoseconds of each call, and sleeps."""
    values = {size: bytes(size) for _, size in calls}
    line.send(None)
    while (start := line.recv()) is not None:
        # Asleep: so many that spin for the moment would keep each other from it.
        time.sleep(max(0.0, start - time.monotonic()))
        before = used()
        ended, taken = timed(verbs, calls, values, between, start + SECONDS)
        after = used()
        spent = [late - early for early, late in zip(before, after, strict=True)]
        line.send((ended.tobytes(), taken.tobytes(), *spent))


def used() -> tuple[int, int, int]:
    """Return nanoseconds on a core, nanoseconds in wait for one, and sleeps so far."""
    on, waited, _ = map(int, Path("/proc/self/schedstat").read_text().split())
    return on, waited, resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def timed(
    verbs: Any,
    calls: list[tuple[str, int]],
    values: dict[int, bytes],
    between: int,
    end: float,
) -> tuple[array[int], array[int]]:
    """Make the calls again and again until then; return when each ended, and how long
    it took, in nanoseconds."""
    get, set_, now = verbs.get, verbs.set, time.perf_counter_ns
    ended, taken = array("q"), array("q")
    note_end, note = ended.append, taken.append
    while True:
        for at in range(0, len(calls), CHUNK):
            for key, size in calls[at : at + CHUNK]:
                if size:
                    value = values[size]
                    began = now()
                    set_(key, value)
                else:
                    began = now()
                    get(key)
                end_ns = now()
                note_end(end_ns)
                note(end_ns - began)
                for _ in range(between):
                    pass
            if time.monotonic() > end:
                return ended, taken


def summed_up(answers: list[tuple[Any, ...]]) -> dict[str, float]:
    """Return the figures of one round from what each process sent."""
    ended, taken = (
        np.concatenate([np.frombuffer(each[at], dtype=np.int64) for each in answers])
        for at in (0, 1)
    )
    millions = len(taken) / 1e6
    figures = {
        f"over_{limit}_ms": float((taken > limit * 1e6).sum() / millions)
        for limit in LIMITS_MS
    }
    on, waited, slept = (sum(each[at] for each in answers) for at in (2, 3, 4))
    wall = len(answers) * SECONDS * 1e9
    figures["slept"] = slept / millions
    figures["slow_share"] = float(taken[taken > 1e6].sum()) / wall
    figures["on_share"] = on / wall
    figures["asleep_share"] = max(0.0, 1 - (on + waited) / wall)
    gaps = np.diff(np.sort(ended))
    for limit in LIMITS_MS:
        figures[f"stalled_{limit}_ms"] = float((gaps > limit * 1e6).sum()) / SECONDS
    for name, percentile in zip(
        PERCENTILES, np.percentile(taken, list(PERCENTILES.values())), strict=True
    ):
        figures[name] = float(percentile) / 1000
    figures["thousands"] = len(taken) / SECONDS / 1000
    return figures


def middles(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return of each figure the median, and least and most."""
    found: dict[str, float] = {}
    for name in rounds[0]:
        figures = [each[name] for each in rounds]
        found |= {
            name: median(figures),
            f"{name}_low": min(figures),
            f"{name}_high": max(figures),
        }
    return found


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield for each load a row for one segment and one for segments of their own."""
    with shared_peer("lilcache").opened(SIZE_MB, folder) as verbs:
        fill(verbs)
        with progress_bar(ROUNDS * len(BETWEEN), "convoy", "round") as bar:
            for load, between in BETWEEN.items():
                crews = {
                    title: Crew(work, PROCESSES, folder, title == SHARED, between)
                    for title in (SHARED, OWN)
                }
                rounds: dict[str, list[dict[str, float]]] = {SHARED: [], OWN: []}
                for _ in range(ROUNDS):
                    for title, crew in crews.items():
                        check_stop()
                        rounds[title].append(summed_up(crew.round()))
                    bar.update()
                for title, crew in crews.items():
                    crew.end()
                    yield {"load": load, "title": title, **middles(rounds[title])}
