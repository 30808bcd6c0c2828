"""Compare lilcache's hit ratios with ideal models of S3-FIFO and GDSF.

Every cell is replayed on a real cache, with a get and on a miss a set, and on the
models. The exit status is 1 if the ratio that the cache favours is in any cell too far
below S3-FIFO's, or if its hit ratio of objects, where it favours these, is not above
S3-FIFO's on the mean of the cells; else 0.
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
from statistics import mean

from tabulate import tabulate

import lilcache

from .model import (
    GDSF,
    S3FIFO,
    capacity_of,
    count_objects_and_bytes,
    max_value_bytes,
)
from .traces import Cell, Request, add_cell_arguments, chosen_cells

TOLERANCE = 1.0
"""Points of hit ratio that lilcache may be below S3-FIFO."""


@dataclass(frozen=True)
class Ratios:
    """Hit ratios in percent: of requests, and of the bytes of the values requested."""

    objects: float
    bytes: float


@dataclass(frozen=True)
class Result:
    """Outcome of one cell.

    Attributes:
        cell: name of the cell.
        requests: number of requests.
        s3fifo: the model of S3-FIFO.
        gdsf: the model of GDSF.
        lilcache: a real cache.
    """

    cell: str
    requests: int
    s3fifo: Ratios
    gdsf: Ratios
    lilcache: Ratios


def lilcache_hits(
    requests: Sequence[Request], size_mb: int, favor: str = "objects"
) -> tuple[int, int]:
    """Replay requests on a new anonymous cache; return its hits and their bytes.

    Values come from one random buffer at an offset that depends on the key, so
    every hit is checked. A value above the cache's limit counts as a miss.

    Args:
        requests: pairs of key and value size in bytes.
        size_mb: segment size in MiB.
        favor: the cache's argument.

    Raises:
        RuntimeError: a hit returned other bytes than were set.
        lilcache.LilcacheError: the cache refused a value within its limit.
    """
    longest = max((size for _, size in requests), default=0)
    buffer = random.Random(0).randbytes(2 * longest + 1)
    limit = max_value_bytes(size_mb << 20)
    hits = hit_bytes = 0
    cache = lilcache.Cache(size_mb=size_mb, anonymous=True, favor=favor)
    try:
        for key, size in requests:
            offset = zlib.crc32(key.encode()) % (len(buffer) - size)
            value = buffer[offset : offset + size]
            cached = cache.get(key, None)
            if cached is not None:
                if cached != value:
                    raise RuntimeError(f"wrong value for key {key!r}")
                hits += 1
                hit_bytes += size
                continue
            try:
                cache.set(key, value)
            except lilcache.LilcacheError:
                if size <= limit:
                    raise
    finally:
        cache.close()
    return hits, hit_bytes


def replay(cell: Cell, favor: str = "objects") -> Result:
    """Replay one cell on the models and on lilcache."""
    requests = list(cell.read())
    total = sum(size for _, size in requests)
    capacity = capacity_of(cell.segment_bytes)
    s3fifo, gdsf, found = (
        Ratios(100 * hits / len(requests), 100 * hit_bytes / total)
        for hits, hit_bytes in (
            count_objects_and_bytes(
                S3FIFO(capacity).access, requests, cell.segment_bytes
            ),
            count_objects_and_bytes(
                GDSF(capacity).access, requests, cell.segment_bytes
            ),
            lilcache_hits(requests, cell.size_mb, favor),
        )
    )
    return Result(cell.name, len(requests), s3fifo, gdsf, found)


def differences(results: Sequence[Result], favor: str) -> list[float]:
    """Return by how many points lilcache is above S3-FIFO in each cell."""
    return [
        getattr(result.lilcache, favor) - getattr(result.s3fifo, favor)
        for result in results
    ]


def render(results: Sequence[Result]) -> str:
    """Return a table of both ratios, with the mean of the cells last."""
    rows = [
        (result.cell, *numbers(result, "objects"), *numbers(result, "bytes"))
        for result in results
    ]
    columns = list(zip(*(row[1:] for row in rows), strict=True))
    rows.append(("mean", *map(mean, columns)))
    headers = ["cell"]
    for kind in ("objects", "bytes"):
        headers += [f"{kind}: S3-FIFO %", "GDSF %", "lilcache %", "over S3-FIFO"]
    part = (".2f", ".2f", ".2f", "+.2f")
    return tabulate(rows, headers, floatfmt=("", *part, *part), tablefmt="github")


def numbers(result: Result, kind: str) -> tuple[float, float, float, float]:
    """Return one kind of ratio of everybody, and lilcache's lead over S3-FIFO."""
    s3fifo, gdsf, found = (
        getattr(ratios, kind)
        for ratios in (result.s3fifo, result.gdsf, result.lilcache)
    )
    return s3fifo, gdsf, found, found - s3fifo


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hitratio.replay",
        description="Compare lilcache's hit ratios with ideal S3-FIFO and GDSF.",
    )
    add_cell_arguments(parser)
    parser.add_argument(
        "--favor",
        choices=("objects", "bytes"),
        default="objects",
        help="which hit ratio the cache favours",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to FILE"
    )
    arguments = parser.parse_args(argv)
    results = [
        replay(cell, arguments.favor) for cell in chosen_cells(parser, arguments)
    ]
    print(render(results))
    if arguments.json is not None:
        report = json.dumps([asdict(result) for result in results], indent=2)
        arguments.json.write_text(report + "\n")
    lead = differences(results, arguments.favor)
    behind = arguments.favor == "objects" and mean(lead) <= 0
    return int(behind or min(lead) < -TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
