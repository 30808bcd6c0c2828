"""Bytes in, bytes out: the operations on many keys, in batches of one C call each."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ._ffi import ffi, lib
from ._keys import Key
from ._raw import (
    BUSY,
    LENGTH_SHIFT,
    MISS,
    NO_SPACE,
    RETIRED,
    SET,
    TOO_LARGE,
    TYPE_MASK,
    Found,
    Raw,
)
from ._scratch import SCRATCH_BYTES, Scratch
from .errors import NoSpaceError

# One C call: enough keys to spread its cost, little enough memory to copy twice.
BATCH_KEYS: Final = 1024
BATCH_BYTES: Final = 1024 * 1024

_c_get_many: Final = lib.lilcache_get_many
_c_set_many: Final = lib.lilcache_set_many
_c_delete_many: Final = lib.lilcache_delete_many
_c_scan: Final = lib.lilcache_scan
_SCAN_BYTES: Final = lib.LILCACHE_SCAN_MIN
_KEY_MAX: Final = lib.LILCACHE_KEY_MAX
_KEY_SIZE: Final = lib.LILCACHE_KEY_SIZE
_VALUE_SIZE: Final = lib.LILCACHE_VALUE_SIZE

# (encoded key, key type)
Encoded = tuple[bytes, int]


def get_many(
    raw: Raw,
    keys: Sequence[Key],
    encoded: Sequence[Encoded],
    decode: Callable[[bytes, int, bytes, int], Any],
) -> dict[Key, Any]:
    """Return the keys that are there and their values.

    Decodes as it goes, which spares a pass and a tuple per key.

    Args:
        raw: Where to look.
        keys: The keys, for the dict.
        encoded: The same, encoded.
        decode: Codec.decode.
    """
    found: dict[Key, Any] = {}
    size = min(BATCH_BYTES, len(encoded) * SCRATCH_BYTES)
    scratch = Scratch(size)
    window = scratch.window
    for start in range(0, len(encoded), BATCH_KEYS):
        batch = _Batch(encoded[start : start + BATCH_KEYS])
        batch.call(raw, _c_get_many, scratch.out, size)
        at = 0
        for index, result in enumerate(batch.results, start):
            if result >= 0:
                end = at + (result >> LENGTH_SHIFT)
                payload = window[at:end]
                at = end
                found[keys[index]] = decode(
                    payload, result & TYPE_MASK, *encoded[index]
                )
            elif result != MISS:
                single = raw.get(*encoded[index])
                if single is not None:
                    found[keys[index]] = decode(*single, *encoded[index])
    return found


def set_many(
    raw: Raw, keys: Sequence[Encoded], values: Sequence[Found], ttl_ms: int
) -> list[int]:
    """Store all; return the indexes of those that found no space.

    Raises:
        LockTimeoutError: A lock stayed held; the values before it are stored.
    """
    _check_sizes(raw, keys, values)
    failed: list[int] = []
    start = 0
    while start < len(keys):
        end = _batch_end(values, start)
        batch = _Batch(keys[start:end])
        payloads, types = zip(*values[start:end], strict=True)
        lengths = ffi.from_buffer("uint64_t[]", array("Q", map(len, payloads)))
        batch.call(raw, _c_set_many, b"".join(payloads), lengths, bytes(types), ttl_ms)
        for result, index in zip(batch.results, range(start, end), strict=True):
            if result < 0 and not _set_one(
                raw, result, keys[index], values[index], ttl_ms
            ):
                failed.append(index)
        start = end
    return failed


def delete_many(raw: Raw, keys: Sequence[Encoded]) -> int:
    """Return how many of the keys were there."""
    _check_sizes(raw, keys, ())
    count = 0
    for start in range(0, len(keys), BATCH_KEYS):
        batch = _Batch(keys[start : start + BATCH_KEYS])
        batch.call(raw, _c_delete_many)
        for index, result in enumerate(batch.results, start):
            if result >= 0:
                count += 1
            elif result != MISS:
                count += raw.delete(*keys[index])
    return count


def scan(raw: Raw) -> Iterator[Encoded]:
    """Walk over all keys; see Cache.scan."""
    cursor = ffi.new("uint64_t *", 0)
    count = ffi.new("uint32_t *")
    size = _SCAN_BYTES
    scratch = Scratch(size)
    while True:
        used = raw.call(_c_scan, cursor, scratch.out, size, count)
        if used == TOO_LARGE:
            size *= 2
            scratch = Scratch(size)
            continue
        if used < 0:
            raise raw.error(used)
        # Copied before the first yield: between two steps others use the cache.
        yield from _unpack(scratch.window[:used], count[0])
        if cursor[0] == 0:
            return


class _Batch:
    """The arguments that the *_many functions share, and their results."""

    __slots__ = ("_count", "_joined", "_lengths", "_types", "results")

    def __init__(self, keys: Sequence[Encoded]) -> None:
        parts, types = zip(*keys, strict=True)
        self._count = len(keys)
        self._joined = b"".join(parts)
        self._lengths = array("I", map(len, parts))
        self._types = bytes(types)
        self.results = array("q", bytes(8 * len(keys)))

    def call(self, raw: Raw, function: Any, *arguments: Any) -> None:
        """Fill results; all of them anew if the segment turns out to be retired."""
        lengths = ffi.from_buffer("uint32_t[]", self._lengths)
        results = ffi.from_buffer("int64_t[]", self.results, require_writable=True)

        def call(pointer: Any) -> int:
            function(
                pointer,
                self._count,
                self._joined,
                lengths,
                self._types,
                *arguments,
                results,
            )
            # A retired segment stays so: the last result tells.
            last = self.results[-1]
            return last if last == RETIRED else 0

        raw.call(call)


def _check_sizes(raw: Raw, keys: Sequence[Encoded], values: Sequence[Found]) -> None:
    """Raise for a bad size before the first item is written, not in the middle."""
    for key, key_type in keys:
        if not 0 < len(key) <= _KEY_MAX:
            raise raw.error(_KEY_SIZE, key, key_type)
    most = raw.handle.max_value_bytes
    for (payload, _), (key, key_type) in zip(values, keys, strict=False):
        if len(payload) > most:
            raise raw.error(_VALUE_SIZE, key, key_type, payload)


def _set_one(raw: Raw, result: int, key: Encoded, value: Found, ttl_ms: int) -> bool:
    """Repeat a set that its batch did not do: it waits and raises as a single one."""
    if result != BUSY and result != NO_SPACE:
        raise raw.error(result, *key, value[0])
    try:
        return raw.set(*key, value, ttl_ms, SET)
    except NoSpaceError:
        return False


def _batch_end(values: Sequence[Found], start: int) -> int:
    """Return where a batch ends: by number, by bytes, or after one large value."""
    end = start
    used = 0
    while end < len(values) and end - start < BATCH_KEYS:
        used += len(values[end][0])
        if used > BATCH_BYTES and end > start:
            break
        end += 1
    return end


def _unpack(packed: bytes, count: int) -> Iterator[Encoded]:
    """Take apart { uint16 length, uint8 key type, key } times count."""
    at = 0
    for _ in range(count):
        start = at + 3
        at = start + int.from_bytes(packed[at : at + 2], "little")
        yield packed[start:at], packed[start - 1]
