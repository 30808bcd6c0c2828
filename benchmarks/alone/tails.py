"""How long the slowest sets take while everything is evicted all the time."""

from __future__ import annotations

import gc
import random
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..peers import peer
from ..processes import check_stop

TITLE = "Microseconds of a set in a full cache of 64 MiB, sizes mixed"
NOTE = (
    "Of 1,000 sets about 900 are of up to 256 bytes, 80 of up to 4 KiB, 19 of up to "
    "64 KiB and one of up to 1 MiB, sizes drawn evenly by their logarithm; the cache "
    "was filled three times over before. What the machine does meanwhile is in them."
)
COLUMNS = {
    "value up to": "{value_up_to}",
    "sets": "{sets:,}",
    "median": "{median_us:.1f}",
    "p99": "{p99_us:.1f}",
    "p99.9": "{p999_us:.1f}",
    "p99.9 to median": "{p999_to_median:.1f}",
}
SIZE_MB = 64
CLASSES = {"256 B": (16, 256), "4 KiB": (257, 4096), "64 KiB": (4097, 65_536)}
CLASSES["1 MiB"] = (65_537, 1 << 20)
WEIGHTS = (900, 80, 19, 1)
WARM_BYTES = 3 * SIZE_MB << 20
# Of 100 rounds some 8,000 are of up to 1 MiB, so that eight are slower than p99.9.
SETS_A_ROUND = 80_000
KEYS = 1_000_000
SEED = 7


def drawn(dice: random.Random) -> Iterator[tuple[int, str, int]]:
    """Yield class, key and size for ever."""
    bounds = list(CLASSES.values())
    while True:
        (kind,) = dice.choices(range(len(bounds)), WEIGHTS)
        low, high = bounds[kind]
        size = int(low * (high / low) ** dice.random())
        yield kind, f"k{dice.randrange(KEYS):09d}", size


def rows(folder: Path, rounds: int = 100) -> Iterator[dict[str, Any]]:
    """Yield class, sets, median, percentiles and their ratio."""
    value = bytes(1 << 20)
    taken = [array("q") for _ in CLASSES]
    with peer("lilcache").opened(SIZE_MB, folder) as verbs:
        set_ = verbs.set
        assert set_ is not None
        try:
            stream = drawn(random.Random(SEED))
            stored = 0
            while stored < WARM_BYTES:
                _, key, size = next(stream)
                set_(key, value[:size])
                stored += size
            gc.disable()
            for number in range(rounds * SETS_A_ROUND):
                if number % 10_000 == 0:
                    check_stop()
                kind, key, size = next(stream)
                what = value[:size]
                began = time.perf_counter_ns()
                set_(key, what)
                taken[kind].append(time.perf_counter_ns() - began)
        finally:
            gc.enable()
    for title, times in zip(CLASSES, taken, strict=True):
        middle, p99, p999 = np.percentile(times, (50, 99, 99.9)) / 1000
        yield {
            "value_up_to": title,
            "sets": len(times),
            "median_us": float(middle),
            "p99_us": float(p99),
            "p999_us": float(p999),
            "p999_to_median": float(p999 / middle),
        }
