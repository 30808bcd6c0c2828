"""A cache against a dict: random programs, shrunk by hypothesis when they disagree.

In a cache that is far too large a miss of a live key is a failure. In one that is far
too small it counts as an eviction; then only a wrong value, or one that came back from
the dead, fails. Expiry is judged by the clock before and after each call: between the
two any answer is right.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from lilcache import Cache, CounterOverflowError, NotIntegerError

INT64 = range(-(2**63), 2**63)

KEYS = st.one_of(
    st.sampled_from(["a", "b", b"a", 0, 1, ("a", 1), "\N{SNOWMAN}"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
    st.integers(),
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.sampled_from([2**63 - 1, -(2**63)]),
    st.text(max_size=50),
    st.binary(max_size=100),
    st.lists(st.integers(), max_size=5),
    st.builds(
        lambda byte, size: bytes([byte]) * size,
        st.integers(0, 255),
        st.sampled_from([4_000, 16_384, 16_385, 60_000, 200_000]),
    ),
)
TTLS = st.one_of(
    st.none(),
    st.none(),
    st.sampled_from([0.001, 0.005, 0.02]),
    st.just(1000),
)


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Entry:
    """What a key holds, and the two moments between which it expires."""

    value: Any
    until: tuple[float, float] | None = None

    def maybe_alive(self, before: float) -> bool:
        return self.until is None or before < self.until[1]

    def surely_alive(self, after: float) -> bool:
        return self.until is None or after < self.until[0]


# The core counts whole milliseconds, from a clock that ticks in them.
TICK = 0.002


class CacheMachine(RuleBasedStateMachine):
    """Every verb, on a cache and on its model."""

    size_mb = 32.0
    max_value_mb = 1.0
    may_evict = False

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache(
            f"test-{os.getpid()}-{secrets.token_hex(4)}",
            size_mb=self.size_mb,
            max_value_mb=self.max_value_mb,
        )
        self.model: dict[Any, Entry] = {}
        self.views: list[tuple[memoryview, bytes]] = []

    def teardown(self) -> None:
        for view, value in self.views:
            assert view == value
        self.views.clear()
        assert self.cache.check() == []
        self.cache.destroy()

    # --- judging ------------------------------------------------------------------

    def judge(self, key: Any, present: bool, before: float, after: float) -> None:
        """Check that a key may be present, or absent, as the cache says."""
        entry = self.model.get(key)
        if present:
            assert entry is not None, f"{key!r} came from nowhere"
            assert entry.maybe_alive(before), f"{key!r} outlived its ttl"
        else:
            assert entry is None or self.may_evict or not entry.surely_alive(after), (
                f"{key!r} was lost"
            )
            self.model.pop(key, None)

    def deadline(
        self, ttl: float | None, before: float, after: float
    ) -> tuple[float, float] | None:
        return None if ttl is None else (before + ttl - TICK, after + ttl + TICK)

    # --- rules --------------------------------------------------------------------

    @initialize(target=keys, first=KEYS)
    def begin(self, first: Any) -> Any:
        return first

    @rule(target=keys, key=KEYS)
    def invent(self, key: Any) -> Any:
        return key

    @rule(key=keys, value=VALUES, ttl=TTLS)
    def set(self, key: Any, value: Any, ttl: float | None) -> None:
        before = now()
        assert self.cache.set(key, value, ttl) is True
        self.model[key] = Entry(value, self.deadline(ttl, before, now()))

    @rule(key=keys, value=VALUES, ttl=TTLS, replace=st.booleans())
    def add_or_replace(
        self, key: Any, value: Any, ttl: float | None, replace: bool
    ) -> None:
        before = now()
        verb = self.cache.replace if replace else self.cache.add
        stored = verb(key, value, ttl)
        after = now()
        self.judge(key, stored is replace, before, after)
        if stored:
            self.model[key] = Entry(value, self.deadline(ttl, before, after))

    @rule(key=keys)
    def get(self, key: Any) -> None:
        before = now()
        value = self.cache.get(key, self)
        self.judge(key, value is not self, before, now())
        if value is not self:
            self.same(value, self.model[key].value)

    @rule(key=keys)
    def contains(self, key: Any) -> None:
        before = now()
        present = key in self.cache
        self.judge(key, present, before, now())

    @rule(keys=st.lists(keys, max_size=5))
    def get_many(self, keys: list[Any]) -> None:
        before = now()
        found = self.cache.get_many(keys)
        after = now()
        for key in {(type(key), key) for key in keys}:
            self.judge(key[1], key[1] in found, before, after)
        for key, value in found.items():
            self.same(value, self.model[key].value)

    @rule(items=st.lists(st.tuples(keys, VALUES), max_size=5), ttl=TTLS)
    def set_many(self, items: list[Any], ttl: float | None) -> None:
        mapping = dict(items)
        before = now()
        assert self.cache.set_many(mapping, ttl) == []
        until = self.deadline(ttl, before, now())
        for key, value in mapping.items():
            self.model[key] = Entry(value, until)

    @rule(key=keys)
    def delete(self, key: Any) -> None:
        before = now()
        present = self.cache.delete(key)
        self.judge(key, present, before, now())
        self.model.pop(key, None)

    @rule(keys=st.lists(keys, max_size=5, unique=True))
    def delete_many(self, keys: list[Any]) -> None:
        self.cache.delete_many(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(key=keys)
    def pop(self, key: Any) -> None:
        before = now()
        value = self.cache.pop(key, self)
        self.judge(key, value is not self, before, now())
        if value is not self:
            self.same(value, self.model.pop(key).value)

    @rule(key=keys, ttl=TTLS)
    def touch(self, key: Any, ttl: float | None) -> None:
        before = now()
        present = self.cache.touch(key, ttl)
        after = now()
        self.judge(key, present, before, after)
        if present:
            self.model[key].until = self.deadline(ttl, before, after)

    @rule(key=keys)
    def ttl(self, key: Any) -> None:
        before = now()
        left = self.cache.ttl(key, self)
        after = now()
        self.judge(key, left is not self, before, after)
        if left is None:
            assert self.model[key].until is None
        elif left is not self:
            until = self.model[key].until
            assert until is not None
            assert until[0] - TICK <= after + left
            assert before + left <= until[1] + TICK

    @rule(
        key=keys,
        delta=st.integers(-10, 10) | st.sampled_from([2**63 - 1, -(2**63)]),
        initial=st.none() | st.integers(-5, 5),
        ttl=TTLS,
    )
    def incr(self, key: Any, delta: int, initial: int | None, ttl: Any) -> None:
        before = now()
        try:
            total = self.cache.incr(key, delta, initial, ttl)
        except NotIntegerError:
            value = self.model[key].value
            assert type(value) is not int or value not in INT64
            return
        except CounterOverflowError:
            assert self.model[key].value + delta not in INT64
            return
        after = now()
        entry = self.model.get(key)
        if total is None:
            self.judge(key, False, before, after)
        elif entry is not None and total == self.sum(entry, delta):
            entry.value = total
        else:
            self.judge(key, False, before, after)
            assert total == initial
            self.model[key] = Entry(total, self.deadline(ttl, before, after))

    @staticmethod
    def sum(entry: Entry, delta: int) -> int | None:
        return entry.value + delta if type(entry.value) is int else None

    @rule(key=keys, value=VALUES, ttl=TTLS, disturb=st.booleans())
    def cas(self, key: Any, value: Any, ttl: float | None, disturb: bool) -> None:
        before = now()
        old, stamp = self.cache.gets(key, self)
        self.judge(key, old is not self, before, now())
        if disturb:
            self.cache.set(key, "disturbed")
            self.model[key] = Entry("disturbed")
        before = now()
        stored = self.cache.cas(key, value, stamp, ttl)
        after = now()
        if stored:
            assert not disturb
            self.model[key] = Entry(value, self.deadline(ttl, before, after))
        elif not disturb:
            # Only expiry or eviction may have come between.
            self.judge(key, False, before, after)

    @rule(key=keys)
    def view(self, key: Any) -> None:
        entry = self.model.get(key)
        if entry is None or type(entry.value) is not bytes or len(self.views) > 3:
            return
        before = now()
        view = self.cache.view(key)
        self.judge(key, view is not None, before, now())
        if view is not None:
            assert view == entry.value
            self.views.append((view, entry.value))

    @rule()
    def drop_views(self) -> None:
        for view, value in self.views:
            assert view == value
        self.views.clear()

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()

    @rule()
    def scan(self) -> None:
        before = now()
        found = {(type(key), key) for key in self.cache.scan()}
        after = now()
        for key in list(self.model):
            self.judge(key, (type(key), key) in found, before, after)
        assert {key for _, key in found} <= set(self.model)

    @rule()
    def let_time_pass(self) -> None:
        """Until whatever expires soon has expired."""
        soon = [
            entry.until[1]
            for entry in self.model.values()
            if entry.until is not None and entry.until[1] < now() + 1
        ]
        while soon and now() < max(soon):
            pass

    @rule()
    def flood(self) -> None:
        """Push everything through the small cache, if it is one."""
        if self.may_evict:
            for number in range(100):
                self.cache.set(("flood", number), b"f" * 20_000)
                self.model[("flood", number)] = Entry(b"f" * 20_000)

    # --- invariants ---------------------------------------------------------------

    @invariant()
    def views_do_not_change(self) -> None:
        for view, value in self.views:
            assert view == value

    @staticmethod
    def same(value: Any, expected: Any) -> None:
        assert value == expected
        assert type(value) is type(expected)


class SmallCacheMachine(CacheMachine):
    size_mb = 1.0
    max_value_mb = 0.25
    may_evict = True


SETTINGS = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

TestLargeCache = CacheMachine.TestCase
TestLargeCache.settings = SETTINGS
TestSmallCache = SmallCacheMachine.TestCase
TestSmallCache.settings = SETTINGS
