"""The arguments of Cache and init, checked and made explicit, before anything opens."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import sys
from dataclasses import dataclass
from typing import Final, Union

from ._compression import ALGORITHMS, DEFAULT_THRESHOLD
from .errors import ArgumentError

MIB: Final = 1024 * 1024

# What `ls /dev/shm` shows in front of every name, so that people and tools find them.
OBJECT_PREFIX: Final = "lilcache-"

# The object's name carries a prefix and a suffix besides, and ends at 255 bytes.
NAME_MAX: Final = 128

DEFAULT_SIZE_BYTES: Final = 64 * MIB
MIN_SIZE_BYTES: Final = MIB

# Objects that a process may keep; each takes about 100 bytes besides itself.
LOCAL_MAX: Final = 10_000_000

# Sizes are whole pages, so that what was asked for and what is there compare equal.
PAGE_BYTES: Final = 4096

SHM_DIRECTORY: Final = "/dev/shm"

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")

Account = Union[int, str, None]


@dataclass(frozen=True)
class Options:
    """What one attachment asks for; zeros and -1 leave the choice to the core."""

    name: str
    size_bytes: int | None = None
    max_value_bytes: int = 0
    max_processes: int = 0
    owner: int = -1
    group: int = -1
    anonymous: bool = False
    recreate: bool = False
    checksums: bool = False
    favor_bytes: bool = False
    huge_pages: bool = False
    guard: bool = True
    local: int = 0
    local_shared: bool = False
    compression: str | None = None
    compression_threshold: int = DEFAULT_THRESHOLD

    @property
    def object_name(self) -> str:
        """The name handed to the core, which appends a suffix of its own."""
        return OBJECT_PREFIX + self.name


def make_options(
    name: str | None,
    *,
    size_mb: float | None,
    max_value_mb: float | None,
    anonymous: bool,
    recreate: bool,
    checksums: bool,
    favor: str,
    huge_pages: bool,
    max_processes: int | None,
    owner: Account,
    group: Account,
    guard: bool | None,
    local: int,
    local_shared: bool,
    compression: str | None,
    compression_threshold: int,
) -> Options:
    """Return checked options.

    Raises:
        ArgumentError: Naming the argument that is wrong.
    """
    owner_id = _user_id(owner)
    if name is None:
        name = "anonymous" if anonymous else default_name(owner_id)
    if max_processes is not None:
        _require_int("max_processes", max_processes)
    return Options(
        name=_checked_name(name),
        size_bytes=None if size_mb is None else _bytes("size_mb", size_mb, MIB),
        max_value_bytes=(
            0 if max_value_mb is None else _bytes("max_value_mb", max_value_mb, 1)
        ),
        max_processes=max_processes or 0,
        owner=owner_id,
        group=_group_id(group),
        anonymous=bool(anonymous),
        recreate=bool(recreate),
        checksums=bool(checksums),
        favor_bytes=_checked_favor(favor) == "bytes",
        huge_pages=bool(huge_pages),
        guard=default_guard() if guard is None else bool(guard),
        local=_checked_local(local),
        local_shared=bool(local_shared),
        compression=_checked_compression(compression),
        compression_threshold=_checked_threshold(compression_threshold),
    )


def _checked_favor(favor: str) -> str:
    if favor not in ("objects", "bytes"):
        raise ArgumentError(f"favor is 'objects' or 'bytes', not {favor!r}")
    return favor


def _checked_local(local: int) -> int:
    if type(local) is not int or not 0 <= local <= LOCAL_MAX:
        raise ArgumentError(f"local is an int from 0 to {LOCAL_MAX}, not {local!r}")
    return local


def _checked_compression(name: str | None) -> str | None:
    if name is not None and name not in ALGORITHMS:
        raise ArgumentError(
            f"compression is None or one of {', '.join(map(repr, ALGORITHMS))},"
            f" not {name!r}"
        )
    return name


def _checked_threshold(threshold: int) -> int:
    if type(threshold) is not int or not 0 <= threshold < 2**63:
        raise ArgumentError(
            f"compression_threshold is a number of bytes, not {threshold!r}"
        )
    return threshold


def default_guard() -> bool:
    """Return whether SIGBUS is handled when nobody says: unless LILCACHE_GUARD is 0."""
    return os.environ.get("LILCACHE_GUARD", "1") != "0"


def default_name(owner: int = -1) -> str:
    """Return the name of this application's segment.

    LILCACHE_NAME, or a name from the user, sys.prefix and the working directory: the
    workers of one application meet, two applications do not.
    """
    named = os.environ.get("LILCACHE_NAME")
    if named:
        return named
    uid = os.geteuid() if owner < 0 else owner
    place = b"\0".join((os.fsencode(sys.prefix), os.fsencode(os.getcwd())))
    return f"{uid}-{hashlib.blake2b(place, digest_size=8).hexdigest()}"


def default_size_bytes(anonymous: bool, memory_left: int) -> int:
    """Return the size of a segment created without one.

    Three quarters of the free space leave room for others who live in /dev/shm, where
    a memfd does not, and in the memory cgroup.

    Args:
        anonymous: It will be a memfd.
        memory_left: Bytes that fit into the memory cgroup.
    """
    free = memory_left
    if not anonymous:
        # Without the directory, the core names the step that fails. A file system of
        # no blocks at all is one without a limit.
        with contextlib.suppress(OSError):
            space = os.statvfs(SHM_DIRECTORY)
            if space.f_blocks:
                free = min(free, space.f_bavail * space.f_frsize)
    whole_pages = free * 3 // 4 // PAGE_BYTES * PAGE_BYTES
    return max(MIN_SIZE_BYTES, min(DEFAULT_SIZE_BYTES, whole_pages))


def check_lock_timeout(seconds: float) -> float:
    """Return the timeout; ArgumentError unless it is zero or a positive number."""
    good = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not good or not 0 <= seconds < math.inf:
        raise ArgumentError(
            f"lock_timeout is a finite number of seconds, zero or more, not {seconds!r}"
        )
    return float(seconds)


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > NAME_MAX:
        raise ArgumentError(
            f"a cache name is 1 to {NAME_MAX} of the characters A-Z a-z 0-9 . _ -,"
            f" not {name!r}"
        )
    return name


def _bytes(argument: str, megabytes: float, least: int) -> int:
    good = isinstance(megabytes, (int, float)) and not isinstance(megabytes, bool)
    if not good or not 0 < megabytes < 2**40:
        raise ArgumentError(
            f"{argument} is a positive number of MiB, not {megabytes!r}"
        )
    size = int(megabytes * MIB)
    if size >= PAGE_BYTES:
        size = size // PAGE_BYTES * PAGE_BYTES
    if size < least:
        raise ArgumentError(f"{argument} is at least {least / MIB:g}, not {megabytes}")
    return size


def _require_int(argument: str, value: int) -> None:
    if type(value) is not int or not 0 < value < 2**31:
        raise ArgumentError(f"{argument} is a positive int, not {value!r}")


def _user_id(owner: Account) -> int:
    if isinstance(owner, str):
        import pwd

        try:
            return pwd.getpwnam(owner).pw_uid
        except KeyError:
            raise ArgumentError(f"owner: no user is called {owner!r}") from None
    return _account_id("owner", owner)


def _group_id(group: Account) -> int:
    if isinstance(group, str):
        import grp

        try:
            return grp.getgrnam(group).gr_gid
        except KeyError:
            raise ArgumentError(f"group: no group is called {group!r}") from None
    return _account_id("group", group)


def _account_id(argument: str, number: int | None) -> int:
    if number is None:
        return -1
    if type(number) is not int or not 0 <= number < 2**32 - 1:
        raise ArgumentError(f"{argument} is a name or a number, not {number!r}")
    return number
