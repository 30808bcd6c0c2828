"""Payloads made smaller by zstd or lz4, out of libraries, and back.

A compressed payload is a header, by which algorithm and how long it was, then what the
library made of it. Its value type is that of the payload with the bit COMPRESSED. So
any process that has the library reads it, whatever that process writes itself.

What decompressing takes is bounded by the length in the header, and that by
raw_length_max: damaged or hostile bytes cannot ask for more.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

from .errors import ArgumentError, CorruptError, SerializationError

COMPRESSED: Final = 0x40

# Of shorter payloads too little is saved for what each call costs: decisions/0013.
DEFAULT_THRESHOLD: Final = 1024

# Kept compressed if at least this part is saved: for less, no reader should pay.
_LEAST_SAVING: Final = 1 / 8

# A value may be larger than max_value_bytes before it is compressed, but not without
# end: so much memory a reader must be ready to give.
_RAW_PER_STORED: Final = 8
_RAW_LENGTH_MAX: Final = 0x7E000000  # what lz4 takes at most

# Level 3 saves a point more at most, and takes up to 60 % longer.
_ZSTD_LEVEL: Final = 1

_HEADER: Final = struct.Struct("<BI")  # number of the algorithm, length before
_NUMBERS: Final = {"zstd": 1, "lz4": 2}
ALGORITHMS: Final = tuple(_NUMBERS)
_NAMES: Final = {number: name for name, number in _NUMBERS.items()}
_PACKAGES: Final = {
    "zstd": "zstandard, or Python 3.14",
    "lz4": "lz4",
}


class _Library(NamedTuple):
    """One algorithm as its library has it; both functions may be called by any thread.

    Attributes:
        compress: Payload to what the library makes of it.
        decompress: That and the length of the payload, to the payload; raises one of
            the errors, or returns another length, if the bytes are damaged, and takes
            no more memory than the length says.
        errors: What decompress raises.
    """

    compress: Callable[[bytes], bytes]
    decompress: Callable[[memoryview, int], bytes]
    errors: tuple[type[Exception], ...]


class Compressor:
    """One cache's way of making payloads smaller. Thread safe.

    Args:
        name: "zstd" or "lz4".
        threshold: Bytes; shorter payloads are left as they are.

    Raises:
        ArgumentError: The library is not installed.
    """

    __slots__ = ("_compress", "_number", "threshold")

    def __init__(self, name: str, threshold: int) -> None:
        try:
            self._compress = _library(name).compress
        except ImportError:
            raise ArgumentError(
                f"compression={name!r} needs {_PACKAGES[name]}:"
                f" pip install 'lilcache[{name}]'"
            ) from None
        self._number = _NUMBERS[name]
        self.threshold = threshold

    def shrink(self, payload: bytes, limit: int) -> bytes | None:
        """Return the payload compressed, or None if it is to be stored as it is.

        Args:
            payload: What is to be stored.
            limit: raw_length_max of the segment.
        """
        length = len(payload)
        if not self.threshold <= length <= limit:
            return None
        frame = self._compress(payload)
        if _HEADER.size + len(frame) > length * (1 - _LEAST_SAVING):
            return None
        return _HEADER.pack(self._number, length) + frame


def expand(payload: bytes, limit: int, what: Callable[[], str]) -> bytes:
    """Return what shrink was given.

    Args:
        payload: A private copy of what shrink returned.
        limit: raw_length_max of the segment.
        what: Returns how errors call the value.

    Raises:
        CorruptError: It is damaged.
        SerializationError: The library that it needs is not installed.
    """
    frame = memoryview(payload)[_HEADER.size :]
    number, length = _HEADER.unpack_from(payload) if frame else (0, 0)
    name = _NAMES.get(number)
    if name is None:
        raise CorruptError(
            f"{what()} is compressed by an algorithm of number {number}: it is damaged,"
            " or a later version of lilcache stored it; delete the key"
        )
    if length > limit:
        raise CorruptError(
            f"{what()} is {length} bytes before compression by its header, and at most"
            f" {limit} are accepted: it is damaged; delete the key"
        )
    try:
        library = _library(name)
    except ImportError:
        raise SerializationError(
            f"{what()} is compressed, which takes {_PACKAGES[name]} to read:"
            f" pip install 'lilcache[{name}]' wherever the segment is used"
        ) from None
    try:
        expanded = library.decompress(frame, length)
    except library.errors as error:
        raise CorruptError(
            f"{what()} cannot be decompressed by {name} ({error}): it is damaged;"
            " delete the key"
        ) from None
    if len(expanded) != length:
        raise CorruptError(
            f"{what()} is {len(expanded)} bytes when decompressed by {name}, not"
            f" {length}: it is damaged; delete the key"
        )
    return expanded


def raw_length_max(max_value_bytes: int) -> int:
    """Return how long a payload may be that is compressed, in bytes."""
    return min(max_value_bytes * _RAW_PER_STORED, _RAW_LENGTH_MAX)


@cache
def _library(name: str) -> _Library:
    """Return the library of an algorithm.

    Raises:
        ImportError: It is not installed.
    """
    if name == "lz4":
        return _lz4()
    try:
        return _zstandard()
    except ImportError:
        return _zstd_of_python()


def _lz4() -> _Library:
    import lz4.block as lz4

    def compress(payload: bytes) -> bytes:
        frame: bytes = lz4.compress(payload, store_size=False)
        return frame

    def decompress(frame: memoryview, length: int) -> bytes:
        payload: bytes = lz4.decompress(frame, uncompressed_size=length)
        return payload

    return _Library(compress, decompress, (lz4.LZ4BlockError,))


def _zstandard(level: int = _ZSTD_LEVEL) -> _Library:
    import zstandard

    # Making one takes longer than to use it for a KiB, and one may not be used by two
    # threads at once. list.pop and list.append are atomic.
    compressors: list[zstandard.ZstdCompressor] = []
    decompressors: list[zstandard.ZstdDecompressor] = []

    def compress(payload: bytes) -> bytes:
        try:
            compressor = compressors.pop()
        except IndexError:
            compressor = zstandard.ZstdCompressor(level=level)
        frame = compressor.compress(payload)
        compressors.append(compressor)
        return frame

    def decompress(frame: memoryview, length: int) -> bytes:
        # It allocates what the frame says, not what it is told.
        if zstandard.frame_content_size(frame) != length:
            raise zstandard.ZstdError("the frame is of another length")
        try:
            decompressor = decompressors.pop()
        except IndexError:
            decompressor = zstandard.ZstdDecompressor()
        payload = decompressor.decompress(frame, allow_extra_data=False)
        decompressors.append(decompressor)
        return payload

    return _Library(compress, decompress, (zstandard.ZstdError,))


def _zstd_of_python(level: int = _ZSTD_LEVEL) -> _Library:
    zstd: Any = importlib.import_module("compression.zstd")  # since Python 3.14

    def compress(payload: bytes) -> bytes:
        frame: bytes = zstd.compress(payload, level)
        return frame

    def decompress(frame: memoryview, length: int) -> bytes:
        # The frame's window takes memory besides: at most what the frame's length is.
        if zstd.get_frame_info(frame).decompressed_size != length:
            raise zstd.ZstdError("the frame is of another length")
        decompressor = zstd.ZstdDecompressor()
        payload: bytes = decompressor.decompress(frame, length)
        if not decompressor.eof or decompressor.unused_data:
            raise zstd.ZstdError("the frame ends elsewhere")
        return payload

    return _Library(compress, decompress, (zstd.ZstdError,))
