"""The C handle: who creates, attaches, re-attaches and lets go of it.

`Handle.pointer` is a cdata whose finaliser closes the attachment. Whoever uses it,
a call under way or a live view, holds a reference, so the mapping stays while it is
looked at; close() only takes the handle's own references away. A call takes its
reference when it pushes the argument, which makes that safe against a close() in
another thread. An anchor keeps the pointer open for the finalisers of a reference
cycle that the handle is part of.

The core looks after fork by itself: the same pointer works in the child.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from typing import Any, Final

from . import _ffi
from ._ffi import ffi, lib
from ._huge_pages import ask_for_huge_pages
from ._options import MIB, Options, default_size_bytes
from ._scratch import Hot, make_hot
from ._status import error_for, object_path, open_error, os_error
from ._verbs import Port, immutable_types
from .errors import (
    ClosedError,
    SegmentOSError,
    SegmentSizeWarning,
    UnsupportedPlatformError,
)

logger: Final = logging.getLogger("lilcache")
logger.addHandler(logging.NullHandler())

_CREATE_FLAGS: Final = {
    "anonymous": lib.LILCACHE_ANONYMOUS,
    "checksums": lib.LILCACHE_CHECKSUMS,
    "favor_bytes": lib.LILCACHE_FAVOR_BYTES,
    "recreate": lib.LILCACHE_RECREATE,
}
_OTHERS_MAY_WRITE: Final = 0o022

# One lock for all handles: re-attaching is rare, and one lock is easily made anew in
# a child forked while another thread held it.
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Handle:
    """This process's attachment to one segment. Thread safe, works after fork.

    Args:
        options: Checked options.
        signs: Whether values are signed.

    Raises:
        LilcacheError: The segment cannot be created or attached; see errors.py.

    Attributes:
        pointer: `struct lilcache *`, or None after close().
        port: The same for the hot verbs, which do not see signed values.
        size_bytes: The size of the whole segment, as created.
        max_value_bytes: The largest payload it accepts.
        pool: What hot gets need, of this attachment: each pops one and appends it to
            the same pool again. It pops None or finds nothing when all are in use, and
            always when the cache is closed; then supply() is called.
    """

    __slots__ = (
        "_anchor",
        "_signs",
        "max_value_bytes",
        "options",
        "pointer",
        "pool",
        "port",
        "size_bytes",
    )

    def __init__(self, options: Options, signs: bool) -> None:
        if not _ffi.SUPPORTED:
            raise UnsupportedPlatformError(
                "lilcache needs Linux (robust process-shared mutexes and OFD locks):"
                " use another cache on this platform"
            )
        self.options = options
        self._signs = signs
        self.pointer: Any = None
        self._anchor: Any = None
        self.port = Port()
        if options.local:
            self.port.keep(options.local, options.local_shared, immutable_types())
        self.pool: list[Hot] = []
        created = self._attach(
            options.size_bytes
            or default_size_bytes(options.anonymous, lib.lilcache_memory_left()),
            options.max_value_bytes,
            options.recreate,
        )
        self._use_huge_pages(created)

    def live(self) -> Any:
        """Return the pointer.

        Raises:
            ClosedError: The cache was closed.
        """
        pointer = self.pointer
        if pointer is None:
            raise ClosedError(
                f"cache {self.options.name!r} is closed in this process: make a new"
                " Cache, or call lilcache.init() again"
            )
        return pointer

    def supply(self, pool: list[Hot]) -> None:
        """Put one more into a pool that was found empty; nothing after close()."""
        pointer = self.pointer
        if pointer is not None:
            while len(pool) < _FILLERS:
                pool.insert(0, _FILLER)
            pool.append(make_hot(pointer, self._signs))

    def reattach(self, stale: Any) -> None:
        """Attach anew after RETIRED, unless another thread already has.

        Args:
            stale: The pointer whose segment was found retired.

        Raises:
            ClosedError: The cache was closed meanwhile, or was anonymous: what only
                forked processes share cannot be attached by name.
            LilcacheError: As the constructor.
        """
        with _lock:
            if self.live() is not stale:
                return
            if self.options.anonymous:
                self._let_go()
                raise ClosedError(
                    f"the anonymous cache {self.options.name!r} was destroyed"
                )
            # Whoever comes first makes the new one; so all ask for what they had.
            created = self._attach(
                self.size_bytes, self.max_value_bytes, recreate=False
            )
        self._use_huge_pages(created)

    def close(self) -> None:
        """Make every later call raise ClosedError. Idempotent."""
        with _lock:
            self._let_go()

    def retire(self) -> None:
        """Mark the segment retired, remove its name, and close.

        Raises:
            ClosedError: The cache was closed before.
            ForeignSegmentError: Only its owner and root may do that; it stays open.
            SegmentError: It could not be done; it stays open.
        """
        status = lib.lilcache_retire(self.live())
        code = ffi.errno
        if status == lib.LILCACHE_OS:
            raise os_error(code, "shm_unlink", self.options)
        if status < 0:
            path = object_path(self.options)
            raise error_for(status, self.options.name, f"{path} cannot be removed")
        self.close()

    def shared_with_others(self) -> bool:
        """Tell whether another user may write the segment, as things are now."""
        options = self.options
        if options.anonymous:
            return False
        if options.owner >= 0 and options.owner != os.geteuid():
            return True
        mode = lib.lilcache_mode(self.live())
        if mode < 0:
            raise SegmentOSError(
                f"cache {options.name!r}: its permissions cannot be read"
            )
        return bool(mode & _OTHERS_MAY_WRITE)

    def _attach(self, size_bytes: int, max_value_bytes: int, recreate: bool) -> Any:
        """Return the pointer if it is of a new segment that is to use huge pages."""
        options = self.options
        wanted = ffi.new("struct lilcache_options *")
        # wanted holds a bare char pointer: name must live until open returns.
        name = ffi.new("char[]", options.object_name.encode())
        wanted.name = name
        wanted.size_bytes = size_bytes
        wanted.max_value_bytes = max_value_bytes
        wanted.max_processes = options.max_processes
        wanted.flags = _flags(options, recreate)
        wanted.owner = options.owner
        wanted.group = options.group
        opened = ffi.new("struct lilcache **")
        failure = ffi.new("struct lilcache_error *")
        status = lib.lilcache_open(wanted, opened, failure)
        if status < 0:
            failure.status = status
            raise open_error(failure, options)
        pointer = ffi.gc(opened[0], lib.lilcache_close)
        self.size_bytes = int(lib.lilcache_size(pointer))
        self.max_value_bytes = int(lib.lilcache_max_value(pointer))
        self._anchor = _anchor(pointer)
        self.pointer = pointer
        address = 0 if self._signs else int(ffi.cast("uintptr_t", pointer))
        self.port.attach(address, self.max_value_bytes)
        self.pool = []
        created = bool(lib.lilcache_created(pointer))
        self._report(created)
        return pointer if created and options.huge_pages else None

    def _use_huge_pages(self, pointer: Any) -> None:
        """Ask for them, without a lock, and tell what came of it; None: do nothing.

        pointer: what _attach returned; by now it may be another thread's to close.
        """
        if pointer is None:
            return
        given, why = ask_for_huge_pages(pointer)
        logger.log(
            logging.WARNING if why else logging.INFO,
            "cache %r: %d of %.1f MiB are in huge pages%s",
            self.options.name,
            given // MIB,
            int(lib.lilcache_size(pointer)) / MIB,
            f": {why}" if why else "",
        )

    def _let_go(self) -> None:
        self.port.attach(0, 0)
        self.pointer = None
        self._anchor = None
        self.pool = []

    def _report(self, created: bool) -> None:
        options = self.options
        logger.info(
            "%s cache %r, %.1f MiB",
            "created" if created else "attached",
            options.name,
            self.size_bytes / MIB,
        )
        if created:
            return
        for what, asked, found in (
            ("size_mb", options.size_bytes, self.size_bytes),
            ("max_value_mb", options.max_value_bytes, self.max_value_bytes),
        ):
            if asked and asked != found:
                warnings.warn(
                    f"cache {options.name!r} was created before with"
                    f" {what}={found / MIB:g} and is used like that, not with"
                    f" {asked / MIB:g}: pass recreate=True once to change it",
                    SegmentSizeWarning,
                    stacklevel=6,  # the caller of Cache()
                )


# A list that gets shorter than half of its room gives room back. With so many None at
# its bottom a pool does not, which saves 30 ns of each get.
_FILLERS: Final = 4
_FILLER: Final[Any] = None


def _anchor(pointer: Any) -> Any:
    """Return an object that keeps pointer, out of the garbage collector's sight.

    The finaliser of ffi.gc runs as soon as the collector finds the pointer in a cycle,
    before other finalisers of that cycle, which may still use the cache. What is held
    from outside the collector's sight is in use for it, until it is really freed. Of
    all cdata only a pointer to a struct from new() holds an object in such a way; which
    struct does not matter, and its memory is never touched.
    """
    hold = ffi.new_allocator(alloc=lambda size: pointer, should_clear_after_alloc=False)
    return hold("struct lilcache_view *")


def _flags(options: Options, recreate: bool) -> int:
    chosen = {
        "anonymous": options.anonymous,
        "checksums": options.checksums,
        "favor_bytes": options.favor_bytes,
        "recreate": recreate,
    }
    flags = sum(bit for name, bit in _CREATE_FLAGS.items() if chosen[name])
    return flags if options.guard else flags | lib.LILCACHE_UNGUARDED
