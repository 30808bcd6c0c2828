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
CHOICES = {"none": None, "lz4": "lz4", "zstd": "zstd"}
COLUMNS = {
    "value": "{value}",
    **{f"stored: {name}": f"{{stored_{name}:.0%}}" for name in ("lz4", "zstd")},
    **{f"set: {name}": f"{{set_{name}_us:,.1f}}" for name in CHOICES},
    **{f"get: {name}": f"{{get_{name}_us:,.1f}}" for name in CHOICES},
    **{f"items: {name}": f"{{items_{name}:,}}" for name in CHOICES},
}
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


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield kind and length, then what was stored, set, get and items of each."""
    with ExitStack() as stack:
        caches: dict[str, Cache] = {}
        for name, choice in CHOICES.items():
            cache = Cache(
                f"bench-{folder.name}-{name}",
                size_mb=SIZE_MB,
                compression=choice,
                compression_threshold=0,
            )
            stack.callback(cache.destroy)
            caches[name] = cache
        for kind, values_of in VALUES.items():
            for title, size in SIZES.items():
                found = figures(caches, values_of(size), size)
                yield {"value": f"{kind}, {title}", **found}


def figures(caches: dict[str, Cache], values: list[Any], size: int) -> dict[str, float]:
    """Return what stands in a row."""
    all_cells = []
    for name, cache in caches.items():
        cache.clear()
        all_cells += cells(cache, name, values)
    used = {name: cache.stats().live_bytes for name, cache in caches.items()}
    measure(all_cells, ROUNDS)
    row = {f"stored_{name}": used[name] / used["none"] for name in ("lz4", "zstd")}
    for cell in all_cells:
        row[f"{cell.what}_{cell.peer}_us"] = figure(cell.samples).middle / 1000
    for name, cache in caches.items():
        row[f"items_{name}"] = held(cache, values, size)
    return row
