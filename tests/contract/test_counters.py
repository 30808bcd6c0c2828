"""incr and decr; gets and cas."""

from __future__ import annotations

from typing import Any

import pytest

from lilcache import ArgumentError, CounterOverflowError, NotIntegerError

MAX = 2**63 - 1
MIN = -(2**63)


def test_incr_and_decr(cache: Any) -> None:
    cache.set("key", 10)
    assert cache.incr("key") == 11
    assert cache.incr("key", 5) == 16
    assert cache.incr("key", delta=-6) == 10
    assert cache.decr("key") == 9
    assert cache.decr("key", 10) == -1
    assert cache.incr("key", 0) == -1
    assert cache.get("key") == -1


def test_a_missing_counter(cache: Any) -> None:
    assert cache.incr("key") is None
    assert cache.decr("key", 5) is None
    assert cache.get("key") is None
    assert cache.incr("key", 5, initial=100) == 100
    assert cache.incr("key", 5, initial=100) == 105
    assert cache.decr("down", 5, initial=0) == 0
    assert cache.decr("down", 5, initial=0) == -5


def test_limits(cache: Any) -> None:
    assert cache.incr("max", initial=MAX) == MAX
    assert cache.incr("min", initial=MIN) == MIN
    assert cache.incr("max", MIN) == -1
    assert cache.incr("max", MAX) == MAX - 1
    cache.set("max", MAX)
    for call in (
        lambda: cache.incr("max"),
        lambda: cache.decr("min"),
        lambda: cache.incr("max", MAX + 1),
        lambda: cache.incr("max", MIN - 1),
        lambda: cache.decr("max", MIN),
        lambda: cache.incr("new", initial=MAX + 1),
    ):
        with pytest.raises(CounterOverflowError):
            call()
    assert cache.get("max") == MAX
    assert cache.get("min") == MIN
    assert cache.get("new") is None


@pytest.mark.parametrize("value", ["1", b"12345678", 1.0, True, None, 2**70, [1]])
def test_what_is_no_counter_stays_as_it_is(cache: Any, value: Any) -> None:
    cache.set("key", value)
    with pytest.raises(NotIntegerError, match="key"):
        cache.incr("key")
    with pytest.raises(NotIntegerError):
        cache.decr("key", 1, initial=1)
    assert cache.get("key") == value


@pytest.mark.parametrize("delta", [1.0, "1", None, True])
def test_what_is_no_delta(cache: Any, delta: Any) -> None:
    cache.set("key", 1)
    for call in (
        lambda: cache.incr("key", delta),
        lambda: cache.decr("key", delta),
        lambda: (
            cache.incr("new", initial=delta)
            if delta is not None
            else cache.incr("key", delta)
        ),
    ):
        with pytest.raises(NotIntegerError):
            call()
    assert cache.get("key") == 1
    assert cache.get("new") is None


def test_cas_stores_once(cache: Any) -> None:
    cache.set("key", "one")
    value, stamp = cache.gets("key")
    assert value == "one"
    assert cache.cas("key", "two", stamp) is True
    assert cache.cas("key", "three", stamp) is False
    assert cache.get("key") == "two"
    assert cache.cas("absent", "value", stamp) is False
    assert cache.get("absent") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.set("key", 1),
        lambda cache: cache.replace("key", 1),
        lambda cache: cache.incr("key"),
        lambda cache: cache.decr("key", 0),
        lambda cache: cache.set_many({"key": 1}),
        lambda cache: cache.delete("key") and cache.set("key", 1),
    ],
)
def test_cas_notices_every_write(cache: Any, change: Any) -> None:
    cache.set("key", 1)
    _, stamp = cache.gets("key")
    change(cache)
    assert cache.cas("key", "mine", stamp) is False
    assert cache.get("key") != "mine"


def test_cas_does_not_mind_other_keys_or_touch(cache: Any) -> None:
    cache.set("key", 1)
    _, stamp = cache.gets("key")
    cache.set("other", 2)
    cache.touch("key", 50)
    assert cache.cas("key", "mine", stamp, ttl=10) is True
    assert 0 < cache.ttl("key") <= 10


def test_cas_of_an_absent_key(cache: Any) -> None:
    value, stamp = cache.gets("key", default="nothing")
    assert (value, stamp) == ("nothing", None)
    assert cache.cas("key", "first", stamp) is True
    assert cache.cas("key", "second", stamp) is False
    assert cache.get("key") == "first"


def test_gets_of_a_large_value(cache: Any) -> None:
    value = b"large" * 100_000
    cache.set("key", value)
    got, stamp = cache.gets("key")
    assert got == value
    assert cache.cas("key", value[::-1], stamp) is True
    assert cache.get("key") == value[::-1]


@pytest.mark.parametrize("stamp", [-1, 2**32, 1.0, "1", True])
def test_what_is_no_stamp(cache: Any, stamp: Any) -> None:
    cache.set("key", 1)
    with pytest.raises(ArgumentError, match="stamp"):
        cache.cas("key", 2, stamp)
    assert cache.get("key") == 1
