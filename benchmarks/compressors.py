"""What the libraries take that compress: python -m benchmarks.compressors.

Payloads as a Cache hands them over, by libraries and levels, in turns within one run.
Each cell has the bytes that come out to those that go in, then microseconds to compress
and to decompress, the median of the rounds.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from backports import zstd
from tabulate import tabulate

from lilcache import _compression
from lilcache._codec import Codec
from lilcache.serializers import resolve

from .interleaved import Cell, figure, measure
from .values import VALUES, VARIANTS

SIZES = {"256 B": 256, "512 B": 512, "1 KiB": 1 << 10, "4 KiB": 4 << 10}
SIZES |= {"64 KiB": 64 << 10, "1 MiB": 1 << 20}
CALLS_MAX = 1000

# What comes with Python 3.14, for those before it.
sys.modules.setdefault("compression", zstd)
sys.modules.setdefault("compression.zstd", zstd)

ZLIB = _compression._Library(
    partial(zlib.compress, level=1), lambda frame, _: zlib.decompress(frame), ()
)
LIBRARIES = {
    "lz4": _compression._lz4(),
    "zstandard, 1": _compression._zstandard(1),
    "zstandard, 3": _compression._zstandard(3),
    "zstandard, 6": _compression._zstandard(6),
    "Python's zstd, 1": _compression._zstd_of_python(1),
    "zlib, 1": ZLIB,
}


def payloads(values: list[Any]) -> list[bytes]:
    """Return the values as they are encoded."""
    codec = Codec(*resolve("pickle"), None, None, None, lambda: 0)
    return [codec.encode(value, b"", 0)[0] for value in values]


def loop(call: Callable[[int], object], calls: int) -> None:
    """Call so often."""
    for number in range(calls):
        call(number % VARIANTS)


def row(given: list[bytes], rounds: int) -> list[str]:
    """Return a cell for each library."""
    cells: list[Cell] = []
    texts = []
    for name, library in LIBRARIES.items():
        frames = [memoryview(library.compress(payload)) for payload in given]
        share = sum(map(len, frames)) / sum(map(len, given))
        texts.append(f"{share:.0%}")

        def compress(number: int, call: Any = library.compress) -> None:
            call(given[number])

        def decompress(
            number: int, call: Any = library.decompress, frames: Any = frames
        ) -> None:
            call(frames[number], len(given[number]))

        cells += [
            Cell(name, what, partial(loop, call), CALLS_MAX)
            for what, call in (("compress", compress), ("decompress", decompress))
        ]
    measure(cells, rounds)
    middles = [figure(cell.samples).middle / 1000 for cell in cells]
    pairs = zip(middles[::2], middles[1::2], strict=True)
    return [
        f"{text} {there:,.1f} {back:,.1f}"
        for text, (there, back) in zip(texts, pairs, strict=True)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compressors")
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    rows = [
        [f"{kind}, {title}", *row(payloads(values_of(size)), rounds)]
        for kind, values_of in VALUES.items()
        for title, size in SIZES.items()
    ]
    aligned = ("left", *["right"] * len(LIBRARIES))
    print(tabulate(rows, ("", *LIBRARIES), tablefmt="github", colalign=aligned))


if __name__ == "__main__":
    main()
