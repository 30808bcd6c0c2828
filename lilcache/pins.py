"""Views: read-only buffers over values where they lie in the segment.

A view claims the block of its value. The claim ends when the last export is gone: the
view itself, memoryviews and slices of it, and every array made from it. Until then
the bytes stay as they are, through overwrite, delete, clear, eviction, close() and
fork.

Two ways to let go:

    array = numpy.frombuffer(cache.view(key))   # ends with the array
    with cache.view(key) as memory:             # ends with the block, or, when arrays
        array = numpy.frombuffer(memory)        # made in it live on, with the last
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ._ffi import SUPPORTED, ffi, lib

if SUPPORTED or TYPE_CHECKING:
    from ._view import Exporter
else:
    Exporter = object

_NULL: Final = ffi.NULL


class View(Exporter):
    """A value where it lies, read-only; behaves like the memoryview it stands for.

    It supports the buffer protocol, so numpy.frombuffer, struct, bytes and memoryview
    take it directly. It is not a memoryview itself because leaving the `with` of one
    is an error while arrays made from it live. Not thread safe as to release().

    Attributes:
        copied: Whether it had to be a copy instead of lying in the segment: when the
            process holds too many views, when views already pin half of the blocks
            (Stats.view_copies counts both), when the value is compressed, or when the
            cache signs its values. It is just as valid.
    """

    __slots__ = ("_entered", "copied")

    copied: bool
    _entered: memoryview | None

    def __new__(cls, address: int, length: int, owner: Callable[[], Any]) -> View:
        view = super().__new__(cls, address, length, owner)
        view.copied = False
        view._entered = None
        return view

    @classmethod
    def of_copy(cls, payload: bytes) -> View:
        """Return a view of a private copy."""
        address = int(ffi.cast("uintptr_t", ffi.from_buffer(payload)))

        def keep() -> bytes:
            return payload

        view = cls(address, len(payload), keep)
        view.copied = True
        return view

    def __enter__(self) -> memoryview:
        self._entered = memoryview(self)
        return self._entered

    def __exit__(self, *_: object) -> None:
        entered, self._entered = self._entered, None
        try:
            if entered is not None:
                entered.release()
        except BufferError:
            pass  # arrays made from it live on, and with them the claim
        self.release()

    # isinstance(view, memoryview) holds: whoever asks wants to know whether it can be
    # sliced and compared like one.
    @property  # type: ignore[misc]  # of type, which has a setter
    def __class__(self) -> Any:
        return memoryview

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(memoryview(self), name)

    def __len__(self) -> int:
        return len(memoryview(self))

    def __getitem__(self, index: Any) -> Any:
        return memoryview(self)[index]

    def __iter__(self) -> Iterator[int]:
        return iter(memoryview(self))

    def __contains__(self, value: object) -> bool:
        return value in memoryview(self)

    def __eq__(self, other: object) -> bool:
        if type(other) is View:
            other = memoryview(other)
        return memoryview(self) == other

    __hash__ = None  # type: ignore[assignment]  # as its bytes decide equality

    def __repr__(self) -> str:
        where = "a copy" if self.copied else "in the segment"
        return f"<lilcache.View of a value, {where}>"


class Claim:
    """One pin, dropped exactly once: by release(), or else by the last reference.

    It exists before the pin does, and the core fills it in. So an exception between
    the two, as Ctrl-C may raise, leaks nothing.
    """

    __slots__ = ("_pointer", "_unpin", "found")

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer
        # Bound here: at interpreter shutdown a finaliser may find globals cleared.
        self._unpin = lib.lilcache_unpin
        self.found = ffi.new("struct lilcache_view *")

    def release(self) -> None:
        """Drop the pin. Idempotent."""
        found = self.found
        if found.data != _NULL:
            found.data = _NULL
            self._unpin(self._pointer, found.pin)

    def copy(self) -> bytes:
        """Return a copy of the pinned bytes."""
        return bytes(ffi.buffer(self.found.data, self.found.length))

    def export(self) -> View:
        """Return a view that holds this claim."""
        address = int(ffi.cast("uintptr_t", self.found.data))
        return View(address, self.found.length, self.release)

    def __del__(self) -> None:
        self.release()


def is_copy(view: View) -> bool:
    """Tell whether a view had to be a copy; see View.copied."""
    return view.copied
