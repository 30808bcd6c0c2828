"""Decoded values that a process keeps: nobody can tell, but for the time it takes."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
import weakref
from collections import OrderedDict, defaultdict
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock_time
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

import lilcache
from lilcache import ArgumentError, Cache, ClosedError
from lilcache._verbs import immutable_types

from ..conftest import run_python, wait_until

UNCHANGEABLE: tuple[Any, ...] = (
    "text",
    b"bytes",
    2**100,
    1.5,
    3 + 4j,
    (1, "two", (3.0, (None, b"five"))),
    frozenset({1, 2.5, (3, 4)}),
    datetime(2026, 11, 26, tzinfo=timezone.utc),
    date(2026, 11, 26),
    clock_time(7, 1),
    timezone.utc,
    True,
    None,
    timedelta(seconds=5),
    Decimal("1.10"),
    Fraction(1, 3),
    UUID(int=5),
)
COPIED: tuple[Any, ...] = (
    {},
    {"id": 1, "name": "someone", 3: None, (1, 2): b"x", "when": date(2026, 1, 1)},
    [],
    [1, "two", (3, 4), None],
    {1, 2.5, (3, 4)},
)
DECODED_EACH_TIME: tuple[Any, ...] = (
    {"list": []},
    {"dict": {}},
    [[1]],
    [{}],
    ([],),
    (((((1,),),),),),
    frozenset({(((((1,),),),),)}),
    OrderedDict(a=1),
    defaultdict(int, a=1),
    bytearray(b"bytes"),
    [bytearray(b"bytes")],
)


class Thing:
    """What can be changed, referred to weakly, and pickled."""

    def __init__(self, number: int) -> None:
        self.number = number


@pytest.fixture
def cache(make_cache: Any) -> Any:
    return make_cache(local=1000)


@pytest.mark.parametrize("value", UNCHANGEABLE, ids=repr)
def test_what_nobody_can_change_is_kept_itself(cache: Any, value: Any) -> None:
    cache.set("key", value)
    first = cache.get("key")
    assert first == value
    assert type(first) is type(value)
    assert cache.get("key") is first
    assert cache.get_many(["key"])["key"] is first


def test_types_that_count_as_unchangeable_are_those_of_the_test() -> None:
    leaves = [value for value in UNCHANGEABLE if type(value) not in (tuple, frozenset)]
    assert {type(value) for value in leaves} == set(immutable_types())
    for value in leaves:
        with pytest.raises((AttributeError, TypeError)):
            value.attribute = 1


@pytest.mark.parametrize("value", [*COPIED, *DECODED_EACH_TIME], ids=repr)
def test_what_can_be_changed_is_nobody_elses(cache: Any, value: Any) -> None:
    cache.set("key", value)
    found = [cache.get("key") for _ in range(4)]
    found.append(cache.get_many(["key"])["key"])
    assert all(one == value and type(one) is type(value) for one in found)
    mutable = not isinstance(value, (tuple, frozenset))
    assert not mutable or len({id(one) for one in found}) == len(found)


def test_changes_do_not_come_back(cache: Any) -> None:
    cache.set("dict", {"a": 1})
    cache.set("deep", {"a": [1]})
    cache.set("list", [1])
    cache.set("set", {1})
    for _ in range(3):
        cache.get("dict")["b"] = 2
        cache.get("deep")["a"].append(2)
        cache.get("list").append(2)
        cache.get("set").add(2)
        del cache.get_many(["dict"])["dict"]["a"]
    assert cache.get("dict") == {"a": 1}
    assert cache.get("deep") == {"a": [1]}
    assert cache.get("list") == [1]
    assert cache.get("set") == {1}


def test_shared_objects_are_the_very_same(make_cache: Any) -> None:
    cache = make_cache(local=100, local_shared=True)
    for value in (*UNCHANGEABLE, *COPIED, *DECODED_EACH_TIME):
        cache.set("key", value)
        first = cache.get("key")
        assert first == value
        assert cache.get("key") is first
        assert cache.get_many(["key"])["key"] is first


@pytest.mark.parametrize("size", [10_000, 100_000, 3_000_000])
def test_long_values_are_kept_too(make_cache: Any, size: int) -> None:
    cache = make_cache(local=10)
    value = b"x" * size
    cache.set("key", value)
    first = cache.get("key")
    assert first == value
    assert cache.get("key") is first
    cache.set("key", value[:-1] + b"y")
    assert cache.get("key")[-1:] == b"y"


def test_every_change_is_seen_at_once(cache: Any) -> None:
    with Cache(cache.name) as other:
        for number in range(50):
            cache.set("key", {"n": number})
            assert cache.get("key") == cache.get("key") == {"n": number}
            other.set("key", {"n": -number - 1})
            assert cache.get("key") == {"n": -number - 1}
            other.delete("key")
            assert cache.get("key") is None
            assert cache.get("key", 5) == 5
            other.set("key", "again")
            assert cache.get("key") == "again"
            other.clear()
            assert cache.get("key") is None
        other.set("count", 1)
        for number in range(2, 20):
            assert other.incr("count") == number
            assert cache.get("count") == number
        _, stamp = other.gets("count")
        assert other.cas("count", "text", stamp)
        assert cache.get("count") == "text"
        assert other.pop("count") == "text"
        assert cache.get("count") is None


def test_a_ttl_ends_and_changes(cache: Any) -> None:
    cache.set("key", (1, 2), ttl=0.2)
    first = cache.get("key")
    assert cache.get("key") is first
    cache.touch("key", 100)
    assert cache.get("key") is first
    cache.touch("key", 0.05)
    wait_until(lambda: cache.get("key") is None, seconds=5)
    cache.set("key", (1, 2))
    assert cache.get("key") == (1, 2)
    cache.touch("key", 0.05)
    time.sleep(0.06)
    assert cache.get("key") is None


def test_keys_of_other_types_are_other_keys(cache: Any) -> None:
    for key, value in (("key", 1), (b"key", 2), (5, 3), (("key",), 4)):
        cache.set(key, (value,))
    for _ in range(3):
        assert cache.get("key") == (1,)
        assert cache.get(b"key") == (2,)
        assert cache.get(5) == (3,)
        assert cache.get(("key",)) == (4,)


@pytest.mark.parametrize("local", [1, 5, 8, 100])
def test_no_more_are_kept_than_asked_for(make_cache: Any, local: int) -> None:
    cache = make_cache(local=local, local_shared=True)
    seen = []
    for number in range(local * 3):
        cache.set(f"key {number}", Thing(number))
        seen.append(weakref.ref(cache.get(f"key {number}")))
    gc.collect()
    alive = [ref() for ref in seen if ref() is not None]
    assert max(1, local // 4) <= len(alive) <= local
    del alive
    cache.close()
    gc.collect()
    assert not any(ref() for ref in seen)


def test_what_is_used_stays(make_cache: Any) -> None:
    cache = make_cache(local=8, local_shared=True)
    cache.set("hot", Thing(1))
    first = cache.get("hot")
    for number in range(1000):
        cache.set(f"cold {number}", Thing(number))
        cache.get(f"cold {number}")
        assert cache.get("hot") is first


def test_nothing_is_held_for_a_key_that_has_gone(make_cache: Any) -> None:
    cache = make_cache(local=100, local_shared=True)
    cache.set("key", Thing(1))
    ref = weakref.ref(cache.get("key"))
    assert ref() is not None
    cache.delete("key")
    assert cache.get("key") is None
    gc.collect()
    assert ref() is None


def test_another_segment_is_another_cache(make_cache: Any) -> None:
    cache = make_cache(local=100)
    other = Cache(cache.name)
    cache.set("key", (1,))
    assert cache.get("key") == (1,)
    other.destroy()
    assert cache.get("key") is None
    cache.set("key", (2,))
    assert cache.get("key") == (2,)
    assert cache.get("key") == (2,)
    cache.destroy()
    with pytest.raises(ClosedError):
        cache.get("key")


def test_hits_are_counted(cache: Any) -> None:
    cache.set("key", {"a": 1})
    before = cache.stats()
    for _ in range(10):
        cache.get("key")
    cache.get("other")
    after = cache.stats()
    assert after.hits - before.hits == 10
    assert after.misses - before.misses == 1


@pytest.mark.parametrize("local", [-1, 1.5, True, "5", None, 10**9])
def test_bad_numbers_are_refused(unique_name: Any, local: Any) -> None:
    with pytest.raises(ArgumentError, match="local is an int from 0 to"):
        Cache(unique_name(), size_mb=2, local=local)


def test_signed_values_are_verified_each_time(make_cache: Any) -> None:
    cache = make_cache(local=10, local_shared=True, signing_key=b"k" * 16)
    cache.set("key", [1])
    assert cache.get("key") == [1]
    assert cache.get("key") is not cache.get("key")


def test_decoding_may_do_anything_to_the_cache(make_cache: Any) -> None:
    acts: list[Any] = []

    class Odd:
        def dumps(self, value: Any) -> bytes:
            return pickle.dumps(value)

        def loads(self, data: bytes) -> Any:
            value = pickle.loads(data)
            if acts:
                acts.pop()()
            return value

    cache = make_cache(local=10, serializer=Odd())
    for act in (
        lambda: cache.set("key", (3,)),
        lambda: cache.clear(),
        lambda: cache.get("key"),
        lambda: Cache(cache.name, size_mb=16).destroy(),
        lambda: gc.collect(),
    ):
        cache.set("key", (2,))
        acts.append(act)
        assert cache.get("key") == (2,)
        with Cache(cache.name, size_mb=16, serializer=Odd()) as other:
            assert cache.get("key") == other.get("key")
    cache.set("key", (2,))
    acts.append(cache.close)
    assert cache.get("key") == (2,)
    with pytest.raises(ClosedError):
        cache.get("key")
    lilcache.Cache(cache.name).destroy()


def test_what_is_kept_may_hold_the_cache(make_cache: Any) -> None:
    cache = make_cache(local=10, local_shared=True)
    name = cache.name
    cache.set("key", Thing(1))
    thing = cache.get("key")
    thing.cache = cache
    ref = weakref.ref(thing)
    del thing, cache
    gc.collect()
    assert ref() is None
    Cache(name).destroy()


def test_a_forked_child_goes_on_with_them(cache: Any) -> None:
    cache.set("key", (1,))
    first = cache.get("key")
    pid = os.fork()
    if pid == 0:
        good = cache.get("key") is first
        cache.set("key", (2,))
        os._exit(0 if good and cache.get("key") == (2,) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert cache.get("key") == (2,)


def test_threads_never_see_an_old_value(make_cache: Any) -> None:
    cache = make_cache(local=16)
    newest = [0] * 40
    wrong: list[Any] = []
    over = threading.Event()

    def read() -> None:
        number = 0
        while not over.is_set():
            number = (number + 1) % len(newest)
            least = newest[number]
            found = cache.get(f"key {number}")
            if found is not None and not least <= found["n"]:
                wrong.append((number, least, found))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    until = time.monotonic() + 1
    step = 0
    while time.monotonic() < until:
        step += 1
        cache.set(f"key {step % len(newest)}", {"n": step})
        newest[step % len(newest)] = step
    over.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert step > 100


def test_the_default_cache_keeps_them(unique_name: Any) -> None:
    lilcache.close()
    lilcache.init(unique_name(), size_mb=2, local=10)
    try:
        lilcache.set("key", (1, 2))
        assert lilcache.get("key") is lilcache.get("key")
    finally:
        lilcache.destroy()


def test_import_does_not_load_what_only_local_needs() -> None:
    assert (
        run_python(
            """
        import sys, lilcache
        print("uuid" in sys.modules, "fractions" in sys.modules)
        """
        )
        == "False False\n"
    )
