"""A dict of pickles: values cannot be changed by who got them before."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import Verbs


@contextmanager
def opened(size_mb: int, folder: Path) -> Iterator[Verbs]:
    """Give calls that pickle and unpickle."""
    values: dict[str, bytes] = {}

    def get(key: str, loads: Callable[[bytes], object] = pickle.loads) -> object:
        found = values.get(key)
        return None if found is None else loads(found)

    def set_(
        key: str, value: object, dumps: Callable[..., bytes] = pickle.dumps
    ) -> None:
        values[key] = dumps(value, 5)

    yield Verbs(get, set_, values.pop)
