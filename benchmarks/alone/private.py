"""What one more worker costs beside the segment itself."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .. import smaps
from ..peers import shared_peer

TITLE = "Private memory of one more worker, in KiB"
NOTE = (
    "Private_Clean and Private_Dirty of /proc/self/smaps_rollup. Before: lilcache is "
    "imported. After: the worker has attached to 64 MiB that another process filled "
    "with 100,000 items, and read them all. The segment's own pages belong to both."
)
COLUMNS = {
    "": "{peer}",
    "before": "{before_kib:,}",
    "after": "{after_kib:,}",
    "cost": "{cost_kib:,}",
}
SIZE_MB = 64
KEYS = [f"k{number:015d}" for number in range(100_000)]
VALUE = b"x" * 100


def worker(folder: Path) -> tuple[int, int]:
    """Return this process's private KiB before it joins, and when it has read."""
    lilcache = shared_peer("lilcache")
    before = smaps.sum_of("Private_") >> 10
    with lilcache.joined(SIZE_MB, folder) as verbs:
        for key in KEYS:
            verbs.get(key)
        return before, smaps.sum_of("Private_") >> 10


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield one row."""
    with shared_peer("lilcache").opened(SIZE_MB, folder) as verbs:
        assert verbs.set is not None
        for key in KEYS:
            verbs.set(key, VALUE)
        with get_context("spawn").Pool(1) as pool:
            before, after = pool.apply(worker, (folder,))
    yield {
        "peer": "lilcache",
        "before_kib": before,
        "after_kib": after,
        "cost_kib": after - before,
    }
