"""get, set, add, replace, delete, pop; and the class as a dict."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest

from lilcache import Cache, ClosedError, KeyTypeError


def test_get_and_set(cache: Any) -> None:
    assert cache.get("key") is None
    assert cache.get("key", 5) == 5
    assert cache.get("key", default=5) == 5
    assert cache.set("key", "one") is True
    assert cache.get("key", 5) == "one"
    assert cache.set("key", "two") is True
    assert cache.get("key") == "two"


def test_add_stores_only_what_is_absent(cache: Any) -> None:
    assert cache.add("key", 1) is True
    assert cache.add("key", 2) is False
    assert cache.get("key") == 1
    cache.delete("key")
    assert cache.add("key", 3) is True


def test_replace_stores_only_what_is_present(cache: Any) -> None:
    assert cache.replace("key", 1) is False
    assert cache.get("key") is None
    cache.set("key", 1)
    assert cache.replace("key", 2) is True
    assert cache.get("key") == 2


def test_delete_tells_whether_it_was_there(cache: Any) -> None:
    assert cache.delete("key") is False
    cache.set("key", None)
    assert cache.delete("key") is True
    assert cache.delete("key") is False
    assert cache.get("key", "gone") == "gone"


def test_pop_returns_and_forgets(cache: Any) -> None:
    assert cache.pop("key") is None
    assert cache.pop("key", "default") == "default"
    cache.set("key", "value")
    assert cache.pop("key") == "value"
    assert cache.get("key") is None
    assert cache.pop("key", default=7) == 7


def test_overwriting_many_times_keeps_the_latest(cache: Any) -> None:
    cache.set("beside", "untouched")
    for number in range(20_000):
        cache.set("key", number)
    assert cache.get("key") == 19_999
    assert cache.get("beside") == "untouched"


def test_as_a_dict(mapping: Cache) -> None:
    with pytest.raises(KeyError, match="key"):
        mapping["key"]
    with pytest.raises(KeyError):
        del mapping["key"]
    mapping["key"] = None
    assert mapping["key"] is None
    assert "key" in mapping
    assert "other" not in mapping
    assert len(mapping) == 1
    assert list(mapping) == ["key"]
    del mapping["key"]
    assert "key" not in mapping
    assert len(mapping) == 0
    assert mapping, "an empty cache is still a cache"
    with pytest.raises(KeyTypeError):
        1.5 in mapping  # type: ignore[operator]  # noqa: B015


def test_asking_whether_it_is_in_is_no_get(mapping: Cache) -> None:
    before = mapping.stats()
    assert "key" not in mapping
    after = mapping.stats()
    assert (after.hits, after.misses) == (before.hits, before.misses)


def test_closed(mapping: Cache) -> None:
    mapping.set("key", 1)
    mapping.close()
    mapping.close()
    assert mapping.closed
    calls = [
        lambda: mapping.get("key"),
        lambda: mapping.set("key", 1),
        lambda: mapping.add("key", 1),
        lambda: mapping.delete("key"),
        lambda: mapping.pop("key"),
        lambda: mapping.incr("key"),
        lambda: mapping.gets("key"),
        lambda: mapping.ttl("key"),
        lambda: mapping.view("key"),
        lambda: mapping.get_many(["key"]),
        lambda: mapping.set_many({"key": 1}),
        lambda: mapping.clear(),
        lambda: list(mapping.scan()),
        lambda: mapping.stats(),
        lambda: mapping.check(),
        lambda: mapping.destroy(),
        lambda: len(mapping),
    ]
    for call in calls:
        with pytest.raises(ClosedError, match=mapping.name):
            call()
    assert "closed" in repr(mapping)


def test_repr_names_it_and_how_full_it_is(mapping: Cache) -> None:
    mapping.set("key", random.Random(1).randbytes(1_000_000))  # nothing compresses it
    assert mapping.name in repr(mapping)
    assert "16 MiB" in repr(mapping)
    assert "6% full, 1 items" in repr(mapping)


def test_pickling(mapping: Cache) -> None:
    mapping.set("key", "value")
    if mapping.name == "anonymous":
        with pytest.raises(ValueError, match="anonymous"):
            pickle.dumps(mapping)
        return
    other = pickle.loads(pickle.dumps(mapping))
    assert other.name == mapping.name
    assert other.get("key") == "value"
    other.set("key", "other")
    assert mapping.get("key") == "other"
    other.close()
    assert mapping.get("key") == "other"
