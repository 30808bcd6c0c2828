"""lilcache as it is where the hot verbs' extension is absent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lilcache.cache import PlainCache

from . import Verbs
from .lilcache import opened_as


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give PlainCache's verbs."""
    with opened_as(PlainCache, size_mb, folder) as verbs:
        yield verbs
