"""Check the S3-FIFO model against libCacheSim's implementation.

Needs PyPI's ``libcachesim``, a GPL tool that is no dependency of this project. The
exit status is 1 if any cell differs by more than the tolerance, else 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import libcachesim
from tabulate import tabulate

from .model import GHOST_RATIO, S3FIFO, SMALL_RATIO, capacity_of, count_hits
from .traces import Cell, add_cell_arguments, chosen_cells

TOLERANCE = 0.2
"""Points of hit ratio by which the two may differ."""


class Reference:
    """libCacheSim's S3-FIFO behind the model's interface.

    Args:
        capacity: bytes of the cache.
    """

    def __init__(self, capacity: int) -> None:
        self._cache = libcachesim.S3FIFO(
            cache_size=capacity,
            small_size_ratio=SMALL_RATIO,
            ghost_size_ratio=GHOST_RATIO,
            move_to_main_threshold=1,
        )
        self._request = libcachesim.Request()
        self._ids: dict[str, int] = {}

    def access(self, key: str, size: int) -> bool:
        """Look up a key, cache it on a miss and return whether it was a hit."""
        # libCacheSim identifies objects by number.
        self._request.obj_id = self._ids.setdefault(key, len(self._ids) + 1)
        self._request.obj_size = size
        return bool(self._cache.get(self._request))


def compare(cell: Cell) -> tuple[str, int, float, float, float]:
    """Replay one cell on both.

    Returns:
        The cell's name, the number of requests, the hit ratios of the model and of
        libCacheSim in percent, and their difference in points.
    """
    requests = list(cell.read())
    capacity = capacity_of(cell.segment_bytes)
    percent = 100 / len(requests)
    model, reference = (
        count_hits(cache.access, requests, cell.segment_bytes) * percent
        for cache in (S3FIFO(capacity), Reference(capacity))
    )
    return cell.name, len(requests), model, reference, model - reference


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hitratio.check_model",
        description="Compare the S3-FIFO model with libCacheSim.",
    )
    add_cell_arguments(parser)
    arguments = parser.parse_args(argv)
    rows = [compare(cell) for cell in chosen_cells(parser, arguments)]
    headers = ("cell", "requests", "model %", "libCacheSim %", "difference")
    print(tabulate(rows, headers, floatfmt=("", "", ".4f", ".4f", "+.4f")))
    return int(any(abs(row[-1]) > TOLERANCE for row in rows))


if __name__ == "__main__":
    sys.exit(main())
