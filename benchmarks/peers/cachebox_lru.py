"""cachebox's LRU cache, written in Rust: the floor of what evicts in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cachebox

from . import Verbs

ENTRIES_PER_MIB = 8000


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the cache's own methods."""
    cache: cachebox.LRUCache[str, object] = cachebox.LRUCache(size_mb * ENTRIES_PER_MIB)
    yield Verbs(cache.get, cache.insert, cache.pop)
