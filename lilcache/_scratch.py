"""Buffers for what one C call returns.

They come from pools, not from thread-local storage: a signal handler or finaliser may
use the cache between a C call and the slice of its buffer, in the same thread. list.pop
and list.append are atomic, so a pool needs no lock.
"""

from __future__ import annotations

from typing import Any, Final

from ._ffi import ffi, quick_ffi

# Larger values are copied once, out of a pinned block: from here on that costs less
# than a second copy out of a buffer.
SCRATCH_BYTES: Final = 16 * 1024

# Uncleared memory costs only the pages that are written.
_allocate = ffi.new_allocator(should_clear_after_alloc=False)


class Scratch:
    """Memory for what one C call returns.

    Args:
        size: Bytes for a value.

    Attributes:
        out: `void *` to `size` bytes.
        window: A buffer over the same bytes; its slices are bytes objects.
        number: `int64_t *` beside them.
        start: `int64_t *` likewise.
        stamp: `uint32_t *` likewise.
    """

    __slots__ = ("_owner", "number", "out", "stamp", "start", "window")

    def __init__(self, size: int = SCRATCH_BYTES) -> None:
        beside = 64  # one cache line, so that payloads stay aligned
        self._owner = _allocate("char[]", beside + size)
        self.out = ffi.cast("void *", self._owner + beside)
        self.window = ffi.buffer(self._owner + beside, size)
        self.number = ffi.cast("int64_t *", self._owner)
        self.start = ffi.cast("int64_t *", self._owner + 8)
        self.stamp = ffi.cast("uint32_t *", self._owner + 16)


_pool: list[Scratch] = []

give_scratch: Final = _pool.append


def take_scratch() -> Scratch:
    try:
        return _pool.pop()
    except IndexError:
        return Scratch()


# What a hot get needs: its `struct quick_call *`, the window its value comes to, and
# the attachment, which is not unmapped while somebody holds it. A tuple, since
# attributes would cost a tenth of the call.
Hot = tuple[Any, Any, Any]


def make_hot(pointer: Any, signs: bool) -> Hot:
    """Return what a hot get needs.

    Args:
        pointer: The attachment.
        signs: Whether values are signed; a hot get then returns none.
    """
    owner = _allocate("char[]", SCRATCH_BYTES)
    call = quick_ffi.new("struct quick_call *", (pointer, owner, SCRATCH_BYTES, signs))
    return call, ffi.buffer(owner), pointer
