"""get_many, set_many, delete_many, clear, scan, stats, check."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lilcache import ArgumentError, SerializationError, Stats

# More than one batch, and not a whole number of them.
COUNT = 2500


def test_many(cache: Any) -> None:
    items = {("item", number): f"value {number}" for number in range(COUNT)}
    assert cache.set_many(items) == []
    assert cache.get_many(items) == items
    assert cache.get_many([*items, "absent"]) == items
    half = list(items)[::2]
    assert cache.delete_many([*half, "absent"]) == len(half)
    assert cache.get_many(items) == {
        key: value for key, value in items.items() if key not in set(half)
    }


def test_many_of_nothing(cache: Any) -> None:
    assert cache.set_many({}) == []
    assert cache.get_many([]) == {}
    assert cache.delete_many([]) == 0
    assert cache.get_many(["absent"]) == {}


def test_many_values_of_all_kinds(cache: Any) -> None:
    items = {
        "bytes": b"",
        "text": "text",
        1: 1,
        b"big": 2**100,
        ("none",): None,
        "list": [1, 2],
        "large": b"x" * 1_500_000,
        "larger": "y" * 2_500_000,
        "after": True,
    }
    assert cache.set_many(items) == []
    assert cache.get_many(items) == items


def test_many_large_values_at_once(cache: Any) -> None:
    items = {number: bytes([number]) * 300_000 for number in range(20)}
    assert cache.set_many(items) == []
    assert cache.get_many(items) == items


def test_many_takes_any_iterable_and_repeats(cache: Any) -> None:
    cache.set_many({"a": 1, "b": 2})
    assert cache.get_many(key for key in "aab") == {"a": 1, "b": 2}
    assert cache.delete_many(iter(["a", "a", "b"])) == 2


def test_one_key_is_not_many(cache: Any) -> None:
    for call in (cache.get_many, cache.delete_many):
        for key in ("abc", b"abc"):
            with pytest.raises(ArgumentError, match="several keys"):
                call(key)


def test_a_bad_value_stops_set_many_before_it_begins(cache: Any) -> None:
    with pytest.raises(SerializationError):
        cache.set_many({"first": 1, "second": lambda: None})
    assert list(cache.scan()) == []


def test_clear(cache: Any) -> None:
    cache.set_many({number: number for number in range(COUNT)})
    cache.set("large", b"x" * 1_000_000)
    cache.clear()
    assert cache.get_many(range(COUNT)) == {}
    assert cache.get("large") is None
    assert list(cache.scan()) == []
    assert cache.stats().items == 0
    assert cache.set("key", "value")
    assert cache.get("key") == "value"


def test_scan(cache: Any) -> None:
    assert list(cache.scan()) == []
    cache.set_many({number: number for number in range(COUNT)})
    long_keys = {f"{number:0>60000}" for number in range(20)}
    cache.set_many(dict.fromkeys(long_keys, b""))
    assert set(cache.scan()) == set(range(COUNT)) | long_keys


def test_scan_while_others_write(cache: Any) -> None:
    stays = {("stays", number) for number in range(COUNT)}
    cache.set_many(dict.fromkeys(stays, 1))
    seen = set()
    for number, key in enumerate(cache.scan()):
        seen.add(key)
        cache.set(("comes", number), 1)
        cache.delete(("comes", number - 10))
        if number > 50 * COUNT:
            break
    assert stays <= seen


def test_stats(cache: Any) -> None:
    value = random.Random(1).randbytes(1000)  # nothing compresses it
    before = cache.stats()
    assert isinstance(before, Stats)
    cache.set("key", value)
    cache.get("key")
    cache.get("absent")
    cache.delete("key")
    cache.set("key", value)
    after = cache.stats()
    assert after.sets - before.sets == 2
    assert after.hits - before.hits == 1
    assert after.misses - before.misses == 1
    assert after.deletes - before.deletes == 1
    assert after.items == 1
    assert after.live_bytes >= 1000
    assert after.size_bytes == 16 * 1024 * 1024


def test_check(cache: Any) -> None:
    cache.set_many({number: b"x" * number for number in range(COUNT)})
    assert cache.check() == []
