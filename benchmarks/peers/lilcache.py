"""lilcache as it is installed: hot verbs in C."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lilcache.cache import Cache, PlainCache

from . import Verbs


@contextmanager
def opened_as(kind: type[PlainCache], size_mb: int) -> Iterator[Verbs]:
    """Give the verbs of a class of cache over a segment of its own."""
    name = f"bench-{os.getpid()}-{secrets.token_hex(4)}"
    with kind(name, size_mb=size_mb) as cache:
        try:
            yield Verbs(
                cache.get, cache.set, cache.delete, value_max=cache.max_value_bytes
            )
        finally:
            cache.destroy()


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give Cache's verbs."""
    with opened_as(Cache, size_mb) as verbs:
        yield verbs
