"""diskcache: SQLite and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diskcache

from . import Verbs


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the cache's own methods."""
    with diskcache.Cache(str(folder), size_limit=size_mb << 20) as cache:
        yield Verbs(cache.get, cache.set, cache.delete)


joined = opened
