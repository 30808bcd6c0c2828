"""The caches that lilcache is measured beside, one file each.

A file has one function, ``opened``, which returns a context manager: the cache is there
for as long as it is entered. What it gives is the peer's own calls, not wrapped where
that can be, since a wrapper costs as much as the fastest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

# In the order of tables: lilcache, floors within one process, shared memory, files,
# servers.
PEERS = {
    "lilcache": "lilcache",
    "lilcache_cffi": "lilcache through cffi alone",
    "dict": "dict",
    "dict_pickle": "dict of pickles",
    "cachebox_lru": "cachebox (in process)",
    "uwsgi_cache": "uWSGI cache",
    "warp": "warp-cache, shared",
    "lmdb_file": "LMDB, without sync",
    "diskcache_file": "diskcache",
    "ultradict": "UltraDict2",
    "memcached": "memcached, pylibmc",
    "redis": "Redis, hiredis",
    "manager": "multiprocessing Manager",
}


@dataclass(frozen=True)
class Verbs:
    """The calls of an open cache; keys are str, values bytes or str.

    Attributes:
        get: returns the value of a key, or what the peer has for a miss.
        set: stores a value; None if the peer cannot.
        delete: removes a key that is there; None if the peer cannot.
        value_max: bytes of the longest value that it takes.
        takes_str: whether a str comes back as it was.
        writes_behind: whether a set goes behind the one before it, through all of the
            memory, before any of that is used again.
        get_many: returns the keys that are there and their values, one call for all;
            None where nobody asks for it.
        set_many: stores a mapping, one call for all; None as well.
    """

    get: Callable[[str], Any]
    set: Callable[[str, Any], Any] | None
    delete: Callable[[str], Any] | None
    value_max: int = 1 << 40
    takes_str: bool = True
    writes_behind: bool = False
    get_many: Callable[[Sequence[str]], Mapping[str, Any]] | None = None
    set_many: Callable[[Mapping[str, Any]], Any] | None = None


class Peer(Protocol):
    """What a file of this folder has."""

    def opened(self, size_mb: int, folder: Path) -> AbstractContextManager[Verbs]:
        """Return the cache, open and empty while the context is entered.

        Args:
            size_mb: MiB that it may hold.
            folder: an empty folder of its own, for sockets and files.
        """


class SharedPeer(Peer, Protocol):
    """A peer that another process can join."""

    def joined(self, size_mb: int, folder: Path) -> AbstractContextManager[Verbs]:
        """Return the cache that another process has opened with the same arguments."""


SHARED = ("lilcache", "lmdb_file", "diskcache_file", "memcached", "redis")
"""Those that another process can join."""


def shared_peer(name: str) -> SharedPeer:
    """Return a peer by its name in ``SHARED``."""
    return cast(SharedPeer, import_module(f"{__name__}.{name}"))


def peer(name: str) -> Peer:
    """Return a peer by its name in ``PEERS``."""
    return cast(Peer, import_module(f"{__name__}.{name}"))
