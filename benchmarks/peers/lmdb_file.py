"""LMDB in a file of the page cache, without syncs: a transaction for each call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from . import Verbs


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give calls of one transaction each."""
    with lmdb.open(
        str(folder), map_size=size_mb << 21, sync=False, metasync=False, writemap=True
    ) as environment:
        begin = environment.begin

        def get(key: str) -> bytes | None:
            with begin() as transaction:
                return transaction.get(key.encode())

        def set_(key: str, value: bytes) -> None:
            with begin(write=True) as transaction:
                transaction.put(key.encode(), value)

        def delete(key: str) -> None:
            with begin(write=True) as transaction:
                transaction.delete(key.encode())

        yield Verbs(get, set_, delete, takes_str=False)


joined = opened
