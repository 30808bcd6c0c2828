"""Expiry: what a ttl may be, what keeps it, what ends it."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Any

import pytest

from lilcache import TTLError

from ..conftest import short, wait_until

NO_TTLS = [0, 0.0, -1, -0.5, math.nan, math.inf, -math.inf, True, False, "5", b"5", [5]]
NO_TTLS += [timedelta(0), timedelta(seconds=-1), 293 * 366 * 86400, 10**400, 1e300]


@pytest.mark.parametrize(
    "ttl", [100, 100.0, timedelta(seconds=100), timedelta(minutes=1, seconds=40)]
)
def test_ttl_is_what_was_set(cache: Any, ttl: Any) -> None:
    cache.set("key", 1, ttl=ttl)
    assert 90 < cache.ttl("key") <= 100
    cache.set("key", 1, ttl)
    assert 90 < cache.ttl("key") <= 100


def test_ttl_of_none_and_of_nothing(cache: Any) -> None:
    cache.set("key", 1)
    assert cache.ttl("key") is None
    assert cache.ttl("other") == 0.0
    assert cache.ttl("other", default=-1) == -1
    assert cache.ttl("other", None) is None


def test_longest_ttl(cache: Any) -> None:
    ttl = 292 * 365 * 86400
    cache.set("key", 1, ttl=ttl)
    assert ttl - 10 < cache.ttl("key") <= ttl


def test_what_expires_is_gone_everywhere(cache: Any) -> None:
    for verb_key in ("a", "b", "c", "d"):
        cache.set(verb_key, b"value", ttl=0.02)
    cache.set("stays", 1)
    wait_until(lambda: cache.get("a") is None)
    wait_until(lambda: cache.ttl("d") == 0.0)
    assert cache.gets("b") == (None, None)
    assert cache.view("b") is None
    assert cache.get_many(["a", "b", "stays"]) == {"stays": 1}
    assert cache.replace("b", 2) is False
    assert cache.touch("b", 10) is False
    assert cache.incr("b") is None
    assert cache.delete("b") is False
    assert cache.pop("c", "gone") == "gone"
    assert cache.add("d", "new") is True
    assert cache.ttl("d") is None
    assert set(cache.scan()) == {"d", "stays"}


def test_not_gone_before_its_time(cache: Any) -> None:
    began = time.monotonic()
    cache.set("key", 1, ttl=0.05)
    while cache.get("key") == 1:
        assert cache.ttl("key") <= 0.05
    # The core counts whole milliseconds.
    assert time.monotonic() - began > 0.048


def test_the_least_ttl_counts(cache: Any) -> None:
    cache.set("key", 1, ttl=1e-9)
    wait_until(lambda: cache.get("key") is None)


def test_set_replaces_the_ttl(cache: Any) -> None:
    cache.set("key", 1, ttl=100)
    cache.set("key", 2)
    assert cache.ttl("key") is None
    cache.set("key", 3, ttl=50)
    assert cache.ttl("key") <= 50
    cache.replace("key", 4, ttl=100)
    assert cache.ttl("key") > 50
    cache.add("new", 1, ttl=10)
    assert 0 < cache.ttl("new") <= 10
    cache.set_many({"many": 1}, ttl=20)
    assert 10 < cache.ttl("many") <= 20


def test_incr_keeps_the_ttl(cache: Any) -> None:
    cache.set("key", 1, ttl=100)
    cache.incr("key", 5, initial=0, ttl=1000)
    assert 90 < cache.ttl("key") <= 100


def test_incr_gives_an_initial_value_its_ttl(cache: Any) -> None:
    cache.incr("key", initial=5, ttl=100)
    assert 90 < cache.ttl("key") <= 100


def test_touch_changes_the_ttl_alone(cache: Any) -> None:
    cache.set("key", "value", ttl=10)
    stamp = cache.gets("key")[1]
    assert cache.touch("key", 100) is True
    assert cache.ttl("key") > 10
    assert cache.touch("key", None) is True
    assert cache.ttl("key") is None
    assert cache.touch("key", timedelta(seconds=5)) is True
    assert 0 < cache.ttl("key") <= 5
    assert cache.gets("key") == ("value", stamp)
    assert cache.touch("other", 5) is False


@pytest.mark.parametrize("ttl", NO_TTLS, ids=short)
def test_what_is_no_ttl_changes_nothing(cache: Any, ttl: Any) -> None:
    cache.set("key", 1, ttl=100)
    stamp = cache.gets("key")[1]
    calls = [
        lambda: cache.set("key", 2, ttl),
        lambda: cache.add("other", 2, ttl),
        lambda: cache.replace("key", 2, ttl),
        lambda: cache.cas("key", 2, stamp, ttl),
        lambda: cache.touch("key", ttl),
        lambda: cache.incr("key", 1, ttl=ttl),
        lambda: cache.set_many({"key": 2, "other": 2}, ttl),
    ]
    for call in calls:
        with pytest.raises(TTLError):
            call()
    assert cache.get("key") == 1
    assert cache.ttl("key") > 90
    assert cache.get("other") is None
