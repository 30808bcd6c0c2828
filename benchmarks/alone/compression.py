"""What compression saves, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from lilcache.cache import Cache

from ..interleaved import Cell, figure, measure
from ..processes import BenchmarkError, check_stop
from ..values import VALUES, VARIANTS

TITLE = "Compression by kind and length of values: stored bytes, time and items"
NOTE = (
    "Stored: bytes in the segment, key and headers included, to those without "
    "compression. Times are microseconds a call in one process, medians of 7 rounds in "
    "turns, serializing included. Items: values of this kind that 64 MiB hold when the "
    "first is evicted. JSON and HTML are stored as str, records as lists of dicts that "
    "are pickled, noise as bytes. The threshold is 0 here, so that short values show "
    "what they would cost; noise is stored as it is."
)
HEADS = (
    "value",
    "stored: lz4",
    "zstd",
    "set: none",
    "lz4",
    "zstd",
    "get: none",
    "lz4",
    "zstd",
    "items: none",
    "lz4",
    "zstd",
)
CHOICES = (None, "lz4", "zstd")
SIZES = {
    "256 B": 256,
    "1 KiB": 1 << 10,
    "4 KiB": 4 << 10,
    "16 KiB": 16 << 10,
    "64 KiB": 64 << 10,
    "1 MiB": 1 << 20,
}
SIZE_MB = 64
ROUNDS = 7
CALLS_MAX = 1000
READ_BACK = 20


def loop(call: Callable[[int], object], calls: int) -> None:
    """Call so often."""
    for number in range(calls):
        call(number % VARIANTS)


def cells(cache: Cache, choice: str, values: list[Any]) -> list[Cell]:
    """Return set and get of one cache."""
    for number, value in enumerate(values):
        cache.set(f"k{number}", value)
    keys = [f"k{number}" for number in range(VARIANTS)]
    return [
        Cell(
            choice,
            "set",
            partial(loop, lambda number: cache.set(keys[number], values[number])),
            CALLS_MAX,
        ),
        Cell(
            choice,
            "get",
            partial(loop, lambda number: cache.get(keys[number])),
            CALLS_MAX,
        ),
    ]


def held(cache: Cache, values: list[Any], size: int) -> int:
    """Set until something is evicted; return how many are there.

    Raises:
        BenchmarkError: what is read back is not what was set.
    """
    cache.clear()
    before = cache.stats().evictions
    count = 0
    while cache.stats().evictions == before:
        check_stop()
        for _ in range((1 << 20) // size):
            cache.set(f"k{count:015d}", values[count % VARIANTS])
            count += 1
    for number in range(count - READ_BACK, count):
        if cache.get(f"k{number:015d}") != values[number % VARIANTS]:
            raise BenchmarkError(f"another value came back for k{number:015d}")
    return cache.stats().items


def rows(folder: Path) -> Iterator[list[Any]]:
    """Yield kind and length, then what was stored, set, get and items of each."""
    with ExitStack() as stack:
        caches: dict[str, Cache] = {}
        for choice in CHOICES:
            name = f"bench-{folder.name}-{choice}"
            cache = Cache(
                name, size_mb=SIZE_MB, compression=choice, compression_threshold=0
            )
            stack.callback(cache.destroy)
            caches[str(choice)] = cache
        for kind, values_of in VALUES.items():
            for title, size in SIZES.items():
                yield [f"{kind}, {title}", *figures(caches, values_of(size), size)]


def figures(caches: dict[str, Cache], values: list[Any], size: int) -> list[str]:
    """Return what stands in a row."""
    row, all_cells = [], []
    for choice, cache in caches.items():
        cache.clear()
        all_cells += cells(cache, choice, values)
    used = {choice: cache.stats().live_bytes for choice, cache in caches.items()}
    measure(all_cells, ROUNDS)
    row += [f"{used[choice] / used['None']:.0%}" for choice in ("lz4", "zstd")]
    for what in ("set", "get"):
        row += [
            f"{figure(cell.samples).middle / 1000:,.1f}"
            for cell in all_cells
            if cell.what == what
        ]
    return row + [f"{held(cache, values, size):,}" for cache in caches.values()]
