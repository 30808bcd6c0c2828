"""A dict of multiprocessing's Manager: a server process behind a socket."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import Verbs


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give the proxy's own methods."""
    with multiprocessing.get_context("spawn").Manager() as manager:
        values = manager.dict()
        yield Verbs(values.get, values.__setitem__, values.pop)
