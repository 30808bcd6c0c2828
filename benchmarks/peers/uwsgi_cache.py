"""uWSGI's own shared cache. It exists inside a uWSGI process only (inside_uwsgi.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import Verbs

BLOCK_BYTES = 128
"""Bytes of a block; a value takes as many blocks side by side as it needs."""


def option(size_mb: int) -> str:
    """Return the option of uWSGI that makes a cache of this size."""
    blocks = (size_mb << 20) // BLOCK_BYTES
    return (
        f"name=default,items={blocks // 2},blocks={blocks},blocksize={BLOCK_BYTES},"
        "bitmap=1,keysize=64"
    )


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give uWSGI's functions, on the cache of the process, emptied."""
    import uwsgi

    uwsgi.cache_clear()
    yield Verbs(
        uwsgi.cache_get,
        uwsgi.cache_update,
        uwsgi.cache_del,
        value_max=size_mb << 19,
        takes_str=False,
    )
