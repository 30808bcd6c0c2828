"""UltraDict2: each process's dict, kept up to date by a shared log of changes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from UltraDict2 import UltraDict

from . import Verbs


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the dict's own methods."""
    values = UltraDict(
        name=f"bench-{os.getpid()}-{secrets.token_hex(4)}",
        buffer_size=size_mb << 20,
        full_dump_size=size_mb << 20,
        shared_lock=True,
        create=True,
    )
    try:
        yield Verbs(values.get, values.__setitem__, values.pop)
    finally:
        values.close()
        values.unlink()
