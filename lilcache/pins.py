"""Views: read-only memoryviews of values where they lie in the segment.

A view is a plain memoryview, because nothing else supports the buffer protocol from
Python on every supported version; so numpy.frombuffer(view), slices and struct work
on it directly. It claims the block of its value. The claim ends when the last export
is gone: the view itself, its slices, and every array made from it. Until then the
bytes stay as they are, through overwrite, delete, clear, eviction, close() and fork.

Two ways to let go:

    array = numpy.frombuffer(cache.view(key))   # ends with the array
    with cache.view(key) as view:               # ends with the block
        total = sum(view)

Leaving the `with` releases the view; slices and numpy arrays made from it go on and
keep the claim. Only what exports the view object itself, a pickle.PickleBuffer for
one, makes it raise BufferError, as for any memoryview; even then nothing is lost.
"""

from __future__ import annotations

from typing import Any, Final

from ._ffi import ffi, lib


class Claim:
    """One pin, dropped exactly once: by release(), or else by the last reference.

    It exists before the pin does, and the core fills it in. So an exception between
    the two, as Ctrl-C may raise, leaks nothing.
    """

    __slots__ = ("_pointer", "found")

    # Bound here: at interpreter shutdown a finaliser may find globals cleared.
    _null: Final = ffi.NULL
    _unpin: Final = lib.lilcache_unpin

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer
        self.found = ffi.new("struct lilcache_view *")

    def release(self, _data: object = None) -> None:
        """Drop the pin. Idempotent; the argument is what ffi.gc passes."""
        found = self.found
        if found.data != self._null:
            found.data = self._null
            self._unpin(self._pointer, found.pin)

    def copy(self) -> bytes:
        """Return a copy of the pinned bytes."""
        return bytes(ffi.buffer(self.found.data, self.found.length))

    def export(self) -> memoryview:
        """Return a read-only memoryview that holds this claim."""
        data = ffi.gc(self.found.data, self.release)
        return memoryview(ffi.buffer(data, self.found.length)).toreadonly()

    def __del__(self) -> None:
        self.release()


def is_copy(view: memoryview) -> bool:
    """Tell whether a view had to be a copy instead of lying in the segment.

    It is one when the process holds too many views, when views already pin half of
    the blocks, or when the cache signs its values. It is just as valid.
    """
    return type(view.obj) is bytes
