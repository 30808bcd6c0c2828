"""Workloads for the hit-ratio benchmarks: public traces and synthetic ones.

A workload is a sequence of requests, each a pair of key and value size in bytes.
Synthetic workloads are deterministic. Trace files are read from a directory and
are no part of this project: libCacheSim's ``cloudPhysicsIO.oracleGeneral.bin``,
and from the simulator of Caffeine ``adapt_size/request.trace.xz``,
``cache2k/web12.trace.xz``, ``lirs/gli.trace.gz`` and ``lirs/loop.trace.gz``, with
the subdirectory and a hyphen put before the name (``cache2k-web12.trace.xz``).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import lzma
import math
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from statistics import NormalDist

Request = tuple[str, int]

_SCAN_VALUE_BYTES = 3000


@dataclass(frozen=True)
class Cell:
    """A workload replayed in a cache of one size.

    Attributes:
        name: unique name, workload and size.
        size_mb: segment size in MiB.
        read: returns the requests.
    """

    name: str
    size_mb: int
    read: Callable[[], Iterator[Request]]

    @property
    def segment_bytes(self) -> int:
        """Segment size in bytes."""
        return self.size_mb << 20


def quantile(key: str) -> float:
    """Return a number between 0 and 1 that depends on the key alone."""
    digest = hashlib.blake2b(key.encode(), digest_size=6).digest()
    # Six bytes and a half stay exact in a float and never reach 0 or 1.
    return (int.from_bytes(digest, "big") + 0.5) / (1 << 48)


def lognormal_bytes(key: str) -> int:
    """Return a value size in bytes that depends on the key alone.

    Sizes are log-normal, median 300 bytes and sigma 1.3, clamped to 20..200000.
    """
    size = round(300 * math.exp(1.3 * NormalDist().inv_cdf(quantile(key))))
    return min(max(size, 20), 200_000)


def read_cloudphysics(directory: Path) -> Iterator[Request]:
    """Read block I/O of one virtual machine, in the oracleGeneral format.

    Records are packed and little-endian: uint32 time, uint64 object id, uint32
    size in bytes, int64 next access.
    """
    data = (directory / "cloudPhysicsIO.oracleGeneral.bin").read_bytes()
    for _, object_id, size, _ in struct.iter_unpack("<IQIq", data):
        yield str(object_id), size


def read_adaptsize(directory: Path) -> Iterator[Request]:
    """Read a content-delivery stream: lines of time, id and size in bytes.

    An id seen with another size is another object.
    """
    with lzma.open(directory / "adapt_size-request.trace.xz", "rt") as lines:
        for line in lines:
            _, object_id, size = line.split()
            yield f"{object_id}:{size}", int(size)


def read_web12(directory: Path) -> Iterator[Request]:
    """Read product page requests: big-endian uint32 keys, without sizes."""
    with lzma.open(directory / "cache2k-web12.trace.xz") as file:
        data = file.read()
    for (number,) in struct.iter_unpack(">I", data):
        key = str(number)
        yield key, lognormal_bytes(key)


def read_lirs(name: str, directory: Path) -> Iterator[Request]:
    """Read ``gli`` or ``loop``: a decimal key per line, ``*`` as separator."""
    with gzip.open(directory / f"lirs-{name}.trace.gz", "rt") as lines:
        for line in lines:
            key = line.strip()
            if key not in ("", "*"):
                yield key, _SCAN_VALUE_BYTES


def zipf_draws(keys: int, requests: int, exponent: float) -> list[int]:
    """Return independent draws; key k has weight (k + 1) ** -exponent."""
    weights = list(accumulate((k + 1) ** -exponent for k in range(keys)))
    return random.Random(0).choices(range(keys), cum_weights=weights, k=requests)


def zipf(keys: int, requests: int, exponent: float, scan: int = 0) -> Iterator[Request]:
    """Generate independent draws with log-normal sizes, and optionally scans.

    Args:
        keys: number of keys; key k is drawn with weight (k + 1) ** -exponent.
        requests: number of draws.
        exponent: skew of the popularity.
        scan: after every 1000 draws, this many keys are requested once and never
            again.
    """
    draws = zipf_draws(keys, requests, exponent)
    for position, number in enumerate(draws, start=1):
        key = f"zipf:{number}"
        yield key, lognormal_bytes(key)
        if position % 1000 == 0:
            for step in range(scan):
                key = f"scan:{position}:{step}"
                yield key, lognormal_bytes(key)


def loop(keys: int, rounds: int) -> Iterator[Request]:
    """Generate rounds over the same keys in the same order, 3000-byte values."""
    for _ in range(rounds):
        for number in range(keys):
            yield f"loop:{number}", _SCAN_VALUE_BYTES


def cells(directory: Path | None = None) -> dict[str, Cell]:
    """Return all cells by name; trace cells only with a directory of traces."""
    found = [
        Cell("zipf-2M", 2, partial(zipf, 20_000, 200_000, 0.9)),
        Cell("zipf-scan-2M", 2, partial(zipf, 20_000, 200_000, 0.9, scan=500)),
        Cell("synthetic-loop-1M", 1, partial(loop, 1200, 60)),
    ]
    if directory is not None:
        found += [
            Cell("web12-2M", 2, partial(read_web12, directory)),
            Cell("adaptsize-32M", 32, partial(read_adaptsize, directory)),
            Cell("cloudphysics-200M", 200, partial(read_cloudphysics, directory)),
            Cell("cloudphysics-600M", 600, partial(read_cloudphysics, directory)),
            Cell("gli-1M", 1, partial(read_lirs, "gli", directory)),
            Cell("loop-1M", 1, partial(read_lirs, "loop", directory)),
        ]
    return {cell.name: cell for cell in found}


def add_cell_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``chosen_cells`` reads."""
    parser.add_argument(
        "--traces",
        type=Path,
        metavar="DIR",
        help="directory of trace files; without it only synthetic workloads run",
    )
    parser.add_argument(
        "--cell",
        action="append",
        metavar="NAME",
        help="run only this cell; may be repeated",
    )


def chosen_cells(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> list[Cell]:
    """Return the cells asked for, or end with a usage error on an unknown name."""
    known = cells(arguments.traces)
    names = arguments.cell or list(known)
    for name in names:
        if name not in known:
            parser.error(f"unknown cell {name}; choose from {', '.join(known)}")
    return [known[name] for name in names]
