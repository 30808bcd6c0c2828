"""Attachment: the side of a cache that faces its segment.

What the arguments mean, how it is opened, looked into, closed, removed and pickled;
cache.py adds the verbs.
"""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar, Union

from ._codec import Codec
from ._compression import DEFAULT_THRESHOLD, Compressor, raw_length_max
from ._handle import Handle
from ._options import MIB, Account, Options, check_lock_timeout, make_options
from ._raw import Raw
from ._verbs import Verbs
from .errors import ArgumentError
from .serializers import Serializer, Signer, resolve
from .stats import Stats

Self = TypeVar("Self", bound="Attachment")


class Attachment(Verbs):
    """One attachment of this process to a segment; the base of Cache."""

    __slots__ = (
        "__weakref__",
        "_codec",
        "_handle",
        "_options",
        "_plain",
        "_raw",
        "_serializer",
    )

    def __init__(
        self,
        name: str | None = None,
        *,
        size_mb: float | None = None,
        max_value_mb: float | None = None,
        anonymous: bool = False,
        recreate: bool = False,
        checksums: bool = False,
        favor: str = "objects",
        huge_pages: bool = False,
        max_processes: int | None = None,
        owner: Account = None,
        group: Account = None,
        guard: bool | None = None,
        local: int = 0,
        local_shared: bool = False,
        compression: str | None = None,
        compression_threshold: int = DEFAULT_THRESHOLD,
        serializer: Union[str, Serializer] = "auto",
        signing_key: bytes | None = None,
        lock_timeout: float = 1.0,
    ) -> None:
        """Create the segment, or attach to it if it is there.

        Args:
            name: The segment's name; processes that use the same one share it. By
                default LILCACHE_NAME, or else a name from user, sys.prefix and working
                directory.
            size_mb: MiB of the whole segment. By default the smaller of 64 and three
                quarters of what is free in /dev/shm and in the memory cgroup. Used by
                whoever creates it; a SegmentSizeWarning tells the others that it
                differs.
            max_value_mb: MiB of the largest value. By default a quarter of the segment
                up to 64 MiB, and 16 MiB above.
            anonymous: Share with forked children only, and leave no trace.
            recreate: Retire a live segment of that name and create a new one.
            checksums: Verify every value that is read. Used by whoever creates it.
            favor: Which hit ratio eviction is to raise: "objects", the share of gets
                that hit, for which small values are kept for longer; or "bytes", the
                share of their bytes, for which size does not count. Used by whoever
                creates it.
            huge_pages: Ask the kernel for huge pages, of 2 MiB where others have 4 KiB:
                the processor finds its way through a large segment faster, and a
                process touches it with a page fault for each of those only. Used by
                whoever creates it, which takes seconds for each GiB. It needs Linux
                6.1; where the kernel gives none or not all, a warning in the log says
                why, and the cache is as it would have been.
            max_processes: How many processes may attach at once.
            owner: User, as name or number, who shall own a segment that this call
                creates, and whose segment is accepted beside one's own: for a server
                that drops its privileges later.
            group: Group, likewise, whose members may then read and write it. Members
                other than the owner name both owner and group.
            guard: Whether a segment that somebody cuts short is left for a new one
                instead of killing the process by SIGBUS. False leaves that signal
                alone; the default is True unless LILCACHE_GUARD is 0. What the first
                cache of a process in a segment says holds for all there.
            local: Up to how many decoded values this process keeps, to return them
                without decoding as long as a get would find them; a change by any
                process is seen at once. By default none. What nobody can change is
                kept as it is; of a dict, list or set of such things every get returns
                a copy; other mutable values are decoded each time.
            local_shared: Keep any value, and return the same object each time. It
                must not be changed.
            compression: "zstd" or "lz4" makes what this process stores smaller, where
                that saves an eighth at least; it takes the library of that name. A
                value whose compressed form fits may then be up to 8 times larger than
                max_value_mb. What is compressed is read whatever a process passes
                here. By default nothing is.
            compression_threshold: Bytes of a value, encoded, from which on that is
                tried.
            serializer: "auto", "pickle", "safe" or an object with dumps and loads; see
                lilcache.serializers.
            signing_key: At least 16 secret bytes: every value is then signed, and none
                that is not correctly signed is accepted. Such a cache has no incr.
            lock_timeout: Seconds, finite; after it a write raises LockTimeoutError.

        Raises:
            ArgumentError: An argument is out of range.
            CapacityError: It does not fit, or too many processes are attached.
            SegmentError: There is something of that name that cannot be used.
            UnsupportedPlatformError: This is not Linux.
        """
        options = make_options(
            name,
            size_mb=size_mb,
            max_value_mb=max_value_mb,
            anonymous=anonymous,
            recreate=recreate,
            checksums=checksums,
            favor=favor,
            huge_pages=huge_pages,
            max_processes=max_processes,
            owner=owner,
            group=group,
            guard=guard,
            local=local,
            local_shared=local_shared,
            compression=compression,
            compression_threshold=compression_threshold,
        )
        self._open(options, serializer, signing_key, lock_timeout)

    def _open(
        self,
        options: Options,
        serializer: Union[str, Serializer],
        signing_key: bytes | None,
        lock_timeout: float,
    ) -> None:
        timeout = check_lock_timeout(lock_timeout)
        chosen, written_type = resolve(serializer)
        signer = None if signing_key is None else Signer(signing_key)
        compressor = None
        if options.compression is not None:
            compressor = Compressor(options.compression, options.compression_threshold)
        # Every argument is checked by now: only the segment itself can refuse.
        self._handle = handle = Handle(options, signs=signer is not None)
        self._plug(handle.port)
        self._raw = Raw(handle, timeout)
        # Not a method of self, which would make a cycle and keep the segment mapped
        # until the garbage collector runs.
        guarded = serializer == "auto" and signer is None
        self._codec = Codec(
            chosen,
            written_type,
            signer,
            handle.shared_with_others if guarded else None,
            compressor,
            lambda: raw_length_max(handle.max_value_bytes),
        )
        if compressor is not None:
            handle.port.compress_from(options.compression_threshold)
        # Whose owner is another user is for Codec to judge: that depends on who we are.
        if signer is None and not (guarded and options.owner >= 0):
            handle.port.serialize(
                chosen.dumps,
                chosen.loads,
                written_type,
                guarded and not options.anonymous,
            )
        # Whether bytes and str are stored as they are, however long.
        self._plain = signer is None and compressor is None
        self._serializer = serializer
        self._options = options

    # --- the segment ----------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name to pass to Cache in another process."""
        return self._options.name

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole segment."""
        return self._handle.size_bytes

    @property
    def max_value_bytes(self) -> int:
        """Bytes of the largest value that is accepted, as stored."""
        return self._handle.max_value_bytes

    @property
    def closed(self) -> bool:
        """Whether close() or destroy() was called on it."""
        return self._handle.pointer is None

    def stats(self) -> Stats:
        """Return the counters of all processes since the segment was created."""
        return self._raw.stats()

    def check(self) -> list[str]:
        """Check the segment's invariants under its locks; return those violated.

        Slow, and holds up writers: for tests and for looking into a problem.
        """
        return self._raw.check()

    def close(self) -> None:
        """Let go of the segment, which stays. Idempotent.

        Later calls raise ClosedError. Calls under way and live views stay valid.
        """
        self._handle.close()

    def destroy(self) -> None:
        """Remove the segment for everybody, and close.

        Processes that still use it notice and create a new, empty one.

        Raises:
            ForeignSegmentError: It is another user's; nothing has changed.
        """
        self._handle.retire()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        kind = type(self).__name__
        if self.closed:
            return f"<lilcache.{kind} {self.name!r} closed>"
        stats = self.stats()
        return (
            f"<lilcache.{kind} {self.name!r} {self.size_bytes / MIB:g} MiB,"
            f" {stats.live_bytes / self.size_bytes:.0%} full, {stats.items} items>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as name and arguments: unpickling attaches by name.

        Raises:
            ArgumentError: It is anonymous or has a signing key, which is secret.
        """
        if self._options.anonymous or self._codec.signs:
            why = "is anonymous" if self._options.anonymous else "has a signing_key"
            raise ArgumentError(
                f"cache {self.name!r} {why} and cannot be pickled: let the process"
                " inherit it by fork, or make a Cache there"
            )
        return _attach, (
            type(self),
            self._options,
            self._serializer,
            self._raw.lock_timeout,
        )


def _attach(
    kind: type[Self],
    options: Options,
    serializer: Union[str, Serializer],
    lock_timeout: float,
) -> Self:
    """Unpickle: attach by name, or create what is gone, with the same arguments."""
    cache = kind.__new__(kind)
    cache._open(replace(options, recreate=False), serializer, None, lock_timeout)
    return cache
