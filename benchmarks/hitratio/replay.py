"""Compare lilcache's hit ratio with the ideal S3-FIFO model.

Every cell is replayed on a real cache, with a get and on a miss a set, and on the
model. The exit status is 1 if any cell is too far below the model, else 0.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

import lilcache

from .model import S3FIFO, capacity_of, count_hits, max_value_bytes
from .traces import Cell, Request, add_cell_arguments, chosen_cells

TOLERANCE = 1.0
"""Points of hit ratio that lilcache may be below the model."""


@dataclass(frozen=True)
class Result:
    """Outcome of one cell; ratios are per request, in percent.

    Attributes:
        cell: name of the cell.
        requests: number of requests.
        model: hit ratio of the model.
        lilcache: hit ratio of lilcache.
        difference: lilcache minus model, in points.
    """

    cell: str
    requests: int
    model: float
    lilcache: float
    difference: float


def lilcache_hits(requests: Sequence[Request], size_mb: int) -> int:
    """Replay requests on a new anonymous cache and return the number of hits.

    Values come from one random buffer at an offset that depends on the key, so
    every hit is checked. A value above the cache's limit counts as a miss.

    Args:
        requests: pairs of key and value size in bytes.
        size_mb: segment size in MiB.

    Raises:
        RuntimeError: a hit returned other bytes than were set.
        lilcache.LilcacheError: the cache refused a value within its limit.
    """
    longest = max((size for _, size in requests), default=0)
    buffer = random.Random(0).randbytes(2 * longest + 1)
    limit = max_value_bytes(size_mb << 20)
    hits = 0
    cache = lilcache.Cache(size_mb=size_mb, anonymous=True)
    try:
        for key, size in requests:
            offset = zlib.crc32(key.encode()) % (len(buffer) - size)
            value = buffer[offset : offset + size]
            cached = cache.get(key, None)
            if cached is not None:
                if cached != value:
                    raise RuntimeError(f"wrong value for key {key!r}")
                hits += 1
                continue
            try:
                cache.set(key, value)
            except lilcache.LilcacheError:
                if size <= limit:
                    raise
    finally:
        cache.close()
    return hits


def replay(cell: Cell) -> Result:
    """Replay one cell on the model and on lilcache."""
    requests = list(cell.read())
    model = S3FIFO(capacity_of(cell.segment_bytes))
    expected = count_hits(model.access, requests, cell.segment_bytes)
    found = lilcache_hits(requests, cell.size_mb)
    percent = 100 / len(requests)
    return Result(
        cell=cell.name,
        requests=len(requests),
        model=expected * percent,
        lilcache=found * percent,
        difference=(found - expected) * percent,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hitratio.replay",
        description="Compare lilcache's hit ratio with an ideal S3-FIFO.",
    )
    add_cell_arguments(parser)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to FILE"
    )
    arguments = parser.parse_args(argv)
    results = [replay(cell) for cell in chosen_cells(parser, arguments)]
    headers = ("cell", "requests", "model %", "lilcache %", "difference")
    rows = [tuple(asdict(result).values()) for result in results]
    print(tabulate(rows, headers, floatfmt=("", "", ".2f", ".2f", "+.2f")))
    if arguments.json is not None:
        report = json.dumps([asdict(result) for result in results], indent=2)
        arguments.json.write_text(report + "\n")
    return int(any(result.difference < -TOLERANCE for result in results))


if __name__ == "__main__":
    sys.exit(main())
