"""Keys: what is one, and that different ones never meet."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import pytest

from lilcache import KeyEncodingError, KeySizeError, KeyTypeError

from ..conftest import short

KEYS = [
    "a",
    b"a",
    97,
    ("a",),
    (b"a",),
    (97,),
    "1",
    1,
    -1,
    0,
    255,
    256,
    -256,
    2**64,
    -(2**64),
    (),
    ((),),
    ("a", "b"),
    (("a", "b"),),
    (("a",), "b"),
    ("a", ("b",)),
    ("ab",),
    ("", "ab"),
    ("a", ""),
    "é",
    "é".encode(),
    "\0",
    b"\0",
]


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    pass


NO_KEYS = [1.0, True, False, None, ["a"], {"a"}, bytearray(b"a"), Number.ONE, Text("a")]
NO_KEYS += [("a", 1.0), ("a", (True,)), object()]


def test_different_keys_are_different_entries(cache: Any) -> None:
    for number, key in enumerate(KEYS):
        cache.set(key, number)
    assert [cache.get(key) for key in KEYS] == list(range(len(KEYS)))
    assert cache.get_many(KEYS) == {key: number for number, key in enumerate(KEYS)}
    assert set(cache.scan()) == set(KEYS)


def verbs(cache: Any) -> list[Callable[[Any], Any]]:
    """Every verb that takes one key, as a function of it."""
    return [
        cache.get,
        cache.gets,
        cache.delete,
        cache.pop,
        cache.ttl,
        cache.view,
        cache.incr,
        cache.decr,
        lambda key: cache.set(key, 1),
        lambda key: cache.add(key, 1),
        lambda key: cache.replace(key, 1),
        lambda key: cache.cas(key, 1, 0),
        lambda key: cache.cas(key, 1, None),
        lambda key: cache.touch(key, 1),
        lambda key: cache.get_many([key]),
        lambda key: cache.delete_many(["before", key]),
        lambda key: cache.set_many({"first": 1, key: 1}),
    ]


@pytest.mark.parametrize("key", NO_KEYS, ids=short)
def test_what_is_no_key(cache: Any, key: Any) -> None:
    cache.set("before", 1)
    for verb in verbs(cache):
        if type(key) in (list, set, bytearray):
            # These cannot even be keys of the dict that set_many takes.
            continue
        with pytest.raises(KeyTypeError):
            verb(key)
    assert list(cache.scan()) == ["before"]


@pytest.mark.parametrize("key", [["a"], {"a"}, bytearray(b"a")], ids=short)
def test_unhashable_is_no_key(cache: Any, key: Any) -> None:
    for verb in verbs(cache)[:-1]:
        with pytest.raises(KeyTypeError):
            verb(key)


@pytest.mark.parametrize("key", ["\ud800", ("ok", "a\udc80")], ids=short)
def test_lone_surrogates(cache: Any, key: Any) -> None:
    for verb in verbs(cache):
        with pytest.raises(KeyEncodingError, match="surrogate"):
            verb(key)


@pytest.mark.parametrize(
    "key", ["", b"", b"x" * 65536, "é" * 32768, 1 << 65536 * 8], ids=short
)
def test_sizes_that_are_none(cache: Any, key: Any) -> None:
    cache.set("before", 1)
    for verb in verbs(cache):
        with pytest.raises(KeySizeError, match="65535"):
            verb(key)
    assert list(cache.scan()) == ["before"]


@pytest.mark.parametrize(
    "key", [b"k", b"x" * 65535, "é" * 32767, 1 << 65534 * 8], ids=short
)
def test_sizes_at_the_limits(cache: Any, key: Any) -> None:
    assert cache.set(key, "value")
    assert cache.get(key) == "value"
    assert cache.get_many([key]) == {key: "value"}
    assert list(cache.scan()) == [key]
    assert cache.delete(key) is True
    assert cache.get(key) is None
