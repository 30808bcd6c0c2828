"""The module-level functions: init, and twins of Cache's methods."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import lilcache
from lilcache import (
    AlreadyInitializedError,
    Cache,
    NotInitializedError,
    _api,
)

TWINS = [
    name
    for name, value in vars(lilcache).items()
    if inspect.isroutine(value) and hasattr(Cache, name)
]


@pytest.fixture(autouse=True)
def _fresh(no_default_cache: None) -> Iterator[None]:
    before = _api._cache
    _api._use(_api._NoCache())
    yield
    _api._use(before)


def test_there_are_twins() -> None:
    assert {"get", "set", "delete", "incr", "view", "stats"} <= set(TWINS)


@pytest.mark.parametrize("name", TWINS)
def test_twins_have_the_same_arguments(name: str) -> None:
    method = inspect.signature(getattr(Cache, name))
    function = inspect.signature(getattr(lilcache, name))
    expected = [p for p in method.parameters.values() if p.name != "self"]
    assert list(function.parameters.values()) == expected
    assert function.return_annotation == method.return_annotation


def test_init_takes_what_cache_takes() -> None:
    of_cache = inspect.signature(Cache).parameters
    of_init = inspect.signature(lilcache.init).parameters
    assert list(of_init.values()) == list(of_cache.values())


@pytest.mark.parametrize("name", [name for name in TWINS if name != "close"])
def test_before_init(name: str) -> None:
    function = getattr(lilcache, name)
    required = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.default is inspect.Parameter.empty
    ]
    with pytest.raises(NotInitializedError, match=r"lilcache\.init\(\)"):
        function(*["x" for _ in required])


def test_closing_nothing_is_nothing() -> None:
    lilcache.close()


def test_init_is_idempotent(unique_name: Any) -> None:
    name = unique_name()
    cache = lilcache.init(name, size_mb=2)
    assert isinstance(cache, Cache)
    assert lilcache.init(name, size_mb=2) is cache
    assert lilcache.init() is cache
    lilcache.set("key", "value")
    assert cache.get("key") == "value"


def test_init_with_other_arguments(unique_name: Any) -> None:
    name = unique_name()
    lilcache.init(name, size_mb=2)
    for other in (
        {"size_mb": 4},
        {"name": "other"},
        {"checksums": True},
        {"favor": "bytes"},
        {"huge_pages": True},
    ):
        with pytest.raises(AlreadyInitializedError, match=name):
            lilcache.init(**{"name": name, "size_mb": 2, **other})
    assert lilcache.set("key", 1)


def test_init_after_close(unique_name: Any) -> None:
    first, second = unique_name(), unique_name()
    lilcache.init(first, size_mb=2)
    lilcache.set("key", "first")
    lilcache.close()
    with pytest.raises(lilcache.ClosedError):
        lilcache.get("key")
    lilcache.init(second, size_mb=2)
    assert lilcache.get("key") is None
    lilcache.destroy()
    lilcache.init(first)
    assert lilcache.get("key") == "first"


def test_a_failed_init_leaves_none(unique_name: Any, too_large_mb: int) -> None:
    with pytest.raises(lilcache.SegmentSpaceError):
        lilcache.init(unique_name(), size_mb=too_large_mb)
    with pytest.raises(NotInitializedError):
        lilcache.get("key")
