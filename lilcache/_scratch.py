"""Buffers for what one C call returns.

They come from pools, not from thread-local storage: a signal handler or finaliser may
use the cache between a C call and the slice of its buffer, in the same thread. list.pop
and list.append are atomic, so a pool needs no lock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ._ffi import ffi, quick, quick_ffi

# Larger values are copied once, out of a pinned block; see _quick.h.
SCRATCH_BYTES: Final = quick.QUICK_OUT

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


# What a hot get needs: the functions that get by the bytes of a key without NUL, of a
# str and of bytes; the window their value comes to; and the `struct quick_call *` for
# functions that take one. The last two hold the buffer, its number and the attachment.
# A tuple, since attributes would cost a tenth of the call.
Hot = tuple[Callable[[bytes], int], Callable[[bytes], int], Any, Any]


def make_hot(pointer: Any, signs: bool) -> Hot:
    """Return what a hot get needs.

    Args:
        pointer: The attachment.
        signs: Whether values are signed; a hot get then returns none.
    """
    # As in _handle._anchor, the collector does not see what the call holds: it keeps
    # its number until nobody can use it any more, finalisers of a cycle included.
    new = quick_ffi.new_allocator(
        lambda size: _allocate("char[]", size), partial(_leave, pointer), False
    )
    call = new("struct quick_call *")
    call.cache = pointer
    call.signs = signs
    number = quick.quick_enter(call)
    gets = []
    for key_type in ("str", "bytes"):
        if number < 0:
            get = _get_of(call, getattr(quick, f"quick_get_{key_type}"))
        else:
            get = getattr(quick, f"quick_get_{key_type}_{number}")
        gets.append(get)
    return gets[0], gets[1], quick_ffi.buffer(call), call


def _get_of(call: Any, function: Any) -> Callable[[bytes], int]:
    """Return the same as a function that has a number, for a call that has none."""
    return lambda key: function(call, key, len(key))


def _leave(pointer: Any, call: Any, leave: Any = quick.quick_leave) -> None:
    """Give a call's number back; only then is the attachment let go of."""
    # Bound above, since it is also called when modules are gone.
    leave(call)
