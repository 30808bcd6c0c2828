"""The subjects of the contract: everything that offers the verbs of a Cache.

A facade joins by one more parameter here; the tests stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import lilcache
from lilcache import Cache
from lilcache.cache import PlainCache

SIZE_MB = 16
# Of PlainCache every verb is Python and cffi; of Cache the hot ones are C.
KINDS: dict[str, Callable[..., PlainCache]] = {
    "named": Cache,
    "plain": PlainCache,
    "local": partial(Cache, local=64),
    "zstd": partial(Cache, compression="zstd", compression_threshold=64),
    "lz4": partial(Cache, compression="lz4", compression_threshold=0, local=64),
    "plain-zstd": partial(PlainCache, compression="zstd", compression_threshold=0),
    "plain-lz4": partial(PlainCache, compression="lz4", compression_threshold=64),
}


@pytest.fixture(params=["anonymous", "module", *KINDS])
def cache(
    request: pytest.FixtureRequest, unique_name: Callable[[], str]
) -> Iterator[Any]:
    """An empty cache of 16 MiB that accepts values of up to 4 MiB."""
    if request.param in KINDS:
        with KINDS[request.param](unique_name(), size_mb=SIZE_MB) as subject:
            yield subject
    elif request.param == "anonymous":
        with Cache(anonymous=True, size_mb=SIZE_MB) as subject:
            yield subject
    else:
        lilcache.close()
        lilcache.init(unique_name(), size_mb=SIZE_MB)
        yield lilcache
        lilcache.close()


@pytest.fixture(params=["anonymous", *KINDS])
def mapping(
    request: pytest.FixtureRequest, unique_name: Callable[[], str]
) -> Iterator[PlainCache]:
    """Likewise, for what only the class offers."""
    named = request.param in KINDS
    kind = KINDS.get(request.param, Cache)
    name = unique_name() if named else None
    with kind(name, anonymous=not named, size_mb=SIZE_MB) as subject:
        yield subject


@pytest.fixture
def max_value_bytes(cache: Any) -> int:
    return int(cache.stats().max_value_bytes)
