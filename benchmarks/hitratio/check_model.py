"""Check the models of S3-FIFO and GDSF against libCacheSim's implementations.

Needs PyPI's ``libcachesim``, a GPL tool that is no dependency of this project. The
exit status is 1 if any cell differs by more than the tolerance, else 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import libcachesim
from tabulate import tabulate

from .model import GDSF, GHOST_RATIO, S3FIFO, SMALL_RATIO, capacity_of, count_hits
from .traces import Cell, add_cell_arguments, chosen_cells

TOLERANCE = 0.2
"""Points of hit ratio by which the two may differ."""


class Reference:
    """A policy of libCacheSim behind the model's interface.

    Args:
        cache: libCacheSim's cache.
    """

    def __init__(self, cache: libcachesim.cache.CacheBase) -> None:
        self._cache = cache
        self._request = libcachesim.Request()
        self._ids: dict[str, int] = {}

    def access(self, key: str, size: int) -> bool:
        """Look up a key, cache it on a miss and return whether it was a hit."""
        # libCacheSim identifies objects by number.
        self._request.obj_id = self._ids.setdefault(key, len(self._ids) + 1)
        self._request.obj_size = size
        return bool(self._cache.get(self._request))


def s3fifo(capacity: int) -> Reference:
    """Return libCacheSim's S3-FIFO with the model's choices."""
    return Reference(
        libcachesim.S3FIFO(
            cache_size=capacity,
            small_size_ratio=SMALL_RATIO,
            ghost_size_ratio=GHOST_RATIO,
            move_to_main_threshold=1,
        )
    )


def gdsf(capacity: int) -> Reference:
    """Return libCacheSim's GDSF."""
    return Reference(libcachesim.GDSF(cache_size=capacity))


Row = tuple[str, str, int, float, float, float]


def compare(cell: Cell) -> Iterator[Row]:
    """Replay one cell on both, for each policy.

    Yields:
        The cell's name, the policy's, the number of requests, the hit ratios of the
        model and of libCacheSim in percent, and their difference in points.
    """
    requests = list(cell.read())
    capacity = capacity_of(cell.segment_bytes)
    percent = 100 / len(requests)
    for policy, caches in (
        ("S3-FIFO", (S3FIFO(capacity), s3fifo(capacity))),
        ("GDSF", (GDSF(capacity), gdsf(capacity))),
    ):
        model, reference = (
            count_hits(cache.access, requests, cell.segment_bytes) * percent
            for cache in caches
        )
        yield cell.name, policy, len(requests), model, reference, model - reference


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hitratio.check_model",
        description="Compare the models with libCacheSim.",
    )
    add_cell_arguments(parser)
    arguments = parser.parse_args(argv)
    rows = [row for cell in chosen_cells(parser, arguments) for row in compare(cell)]
    headers = ("cell", "policy", "requests", "model %", "libCacheSim %", "difference")
    print(tabulate(rows, headers, floatfmt=("", "", "", ".4f", ".4f", "+.4f")))
    return int(any(abs(row[-1]) > TOLERANCE for row in rows))


if __name__ == "__main__":
    sys.exit(main())
