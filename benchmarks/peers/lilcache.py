"""lilcache as it is installed: hot verbs in C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lilcache.cache import Cache, PlainCache

from . import Verbs


def open_as(kind: type[PlainCache], size_mb: int, folder: Path) -> PlainCache:
    """Return a cache over the segment that is named after the folder."""
    return kind(f"bench-{folder.parent.name}-{folder.name}", size_mb=size_mb)


def verbs_of(cache: PlainCache) -> Verbs:
    """Return the cache's own methods."""
    return Verbs(
        cache.get,
        cache.set,
        cache.delete,
        value_max=cache.max_value_bytes,
        writes_behind=True,
        get_many=cache.get_many,
        set_many=cache.set_many,
    )


@contextmanager
def opened_as(kind: type[PlainCache], size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the verbs of a class of cache over a segment of its own."""
    with open_as(kind, size_mb, folder) as cache:
        try:
            yield verbs_of(cache)
        finally:
            cache.destroy()


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give Cache's verbs."""
    with opened_as(Cache, size_mb, folder) as verbs:
        yield verbs


@contextmanager
def joined(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give them of a cache that another process has opened."""
    with open_as(Cache, size_mb, folder) as cache:
        yield verbs_of(cache)
