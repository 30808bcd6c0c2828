"""The subjects of the contract: everything that offers the verbs of a Cache.

A facade joins by one more parameter here; the tests stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lilcache
from lilcache import Cache

SIZE_MB = 16


@pytest.fixture(params=["named", "anonymous", "module"])
def cache(
    request: pytest.FixtureRequest, unique_name: Callable[[], str]
) -> Iterator[Any]:
    """An empty cache of 16 MiB that accepts values of up to 4 MiB."""
    if request.param == "named":
        with Cache(unique_name(), size_mb=SIZE_MB) as subject:
            yield subject
    elif request.param == "anonymous":
        with Cache(anonymous=True, size_mb=SIZE_MB) as subject:
            yield subject
    else:
        lilcache.close()
        lilcache.init(unique_name(), size_mb=SIZE_MB)
        yield lilcache
        lilcache.close()


@pytest.fixture(params=["named", "anonymous"])
def mapping(
    request: pytest.FixtureRequest, unique_name: Callable[[], str]
) -> Iterator[Cache]:
    """Likewise, for what only the class offers."""
    named = request.param == "named"
    name = unique_name() if named else None
    with Cache(name, anonymous=not named, size_mb=SIZE_MB) as subject:
        yield subject


@pytest.fixture
def max_value_bytes(cache: Any) -> int:
    return int(cache.stats().max_value_bytes)
