"""Reads and writes mixed, keys drawn by Zipf's law."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from itertools import accumulate

from ..interleaved import Cell
from ..peers import Verbs
from .latency import VALUE, set_each

TITLE = "Nanoseconds an operation, 10,000 keys drawn by Zipf's law, 100-byte values"
SIZE_MB = 64
BY_VERB = False
KEYS = [f"mix:{number:012d}" for number in range(10_000)]
READS = {"95 % reads": 0.95, "50 % reads": 0.5}
OPERATIONS = 4000
SEED = 7


def cells(name: str, verbs: Verbs) -> Iterator[Cell]:
    """Yield a peer's cells; all keys are there before."""
    if verbs.set is None:
        return
    set_each(verbs.set, KEYS, VALUE, len(KEYS))
    weights = list(accumulate(1 / (rank + 1) for rank in range(len(KEYS))))
    for title, reads in READS.items():
        dice = random.Random(SEED)
        drawn = dice.choices(KEYS, cum_weights=weights, k=OPERATIONS)
        operations = [(dice.random() < reads, key) for key in drawn]
        yield Cell(name, title, partial(mixed, verbs, operations), OPERATIONS)


def mixed(verbs: Verbs, operations: list[tuple[bool, str]], calls: int) -> None:
    """Read or write one key after the other."""
    get, set_ = verbs.get, verbs.set
    assert set_ is not None
    for is_read, key in operations[:calls]:
        if is_read:
            get(key)
        else:
            set_(key, VALUE)
