"""What get and set cost from 1 byte to 10 MB a value."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..interleaved import Cell
from ..peers import Verbs
from .latency import call_each, set_each

TITLE = "Nanoseconds a call by the size of the value"
SIZE_MB = 256
BY_VERB = True
SIZES = {
    "1 B": 1,
    "10 B": 10,
    "100 B": 100,
    "1 kB": 1000,
    "10 kB": 10_000,
    "100 kB": 100_000,
    "1 MB": 1_000_000,
    "10 MB": 10_000_000,
}
BYTES_OF_ALL = 20_000_000
"""Bytes of all values of one size together, at most: nothing is evicted."""


def cells(name: str, verbs: Verbs) -> Iterator[Cell]:
    """Yield a peer's cells; its keys are there afterwards."""
    if verbs.set is None:
        return
    for title, size in SIZES.items():
        if size > verbs.value_max:
            continue
        count = max(1, min(200, BYTES_OF_ALL // size))
        keys = [f"{size:09d}:{number:06d}" for number in range(count)]
        fill = partial(set_each, verbs.set, keys, b"x" * size)
        fill(count)
        yield Cell(name, f"get, {title}", partial(call_each, verbs.get, keys), count)
        yield Cell(name, f"set, {title}", fill, count)
