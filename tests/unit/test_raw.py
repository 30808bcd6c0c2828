"""lilcache._raw: waiting for locks, buffers, and re-entrance."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest

import lilcache
from lilcache import LockTimeoutError, _raw
from lilcache._ffi import lib
from lilcache.cache import PlainCache


class Busy:
    """Stands for a C function: BUSY some times, then as it is."""

    def __init__(self, function: Any, times: float) -> None:
        self.function = function
        self.times = times
        self.calls = 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls > self.times:
            return self.function(*arguments)
        time.sleep(lib.LILCACHE_SLICE_MS / 1000)
        return lib.LILCACHE_BUSY


WRITES = {
    "_c_set": lambda cache: PlainCache.add(cache, "key", 1) or cache.replace("key", 1),
    "_c_delete": lambda cache: cache._raw.delete(b"key", 1),
    "_c_cas": lambda cache: cache.cas("key", 2, cache.gets("key")[1]),
    "_c_pop": lambda cache: cache.pop("key"),
    "_c_touch": lambda cache: cache.touch("key", 5),
    "_c_incr": lambda cache: PlainCache.incr(cache, "key"),
}


@pytest.mark.parametrize("function", WRITES)
def test_writes_wait_out_a_held_lock(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    cache = make_cache()
    cache.set("key", 1)
    busy = Busy(getattr(_raw, function), times=3)
    monkeypatch.setattr(_raw, function, busy)
    assert WRITES[function](cache)
    assert busy.calls >= 4


@pytest.mark.parametrize("function", WRITES)
def test_writes_give_up_after_lock_timeout(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    cache = make_cache(lock_timeout=0.1)
    cache.set("key", 1)
    before = cache.gets("key")
    monkeypatch.setattr(_raw, function, Busy(None, times=1e9))
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"nothing was changed.*lock_timeout=0\.1 s"):
        WRITES[function](cache)
    assert 0.1 <= time.monotonic() - began < 5
    assert cache.gets("key") == before


def test_clear_says_that_a_part_may_be_done(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache(lock_timeout=0)
    busy = Busy(None, times=1e9)
    monkeypatch.setattr(_raw, "_c_clear", busy)
    monkeypatch.setitem(_raw._PARTS_DONE, busy, "some shards may be cleared already")
    with pytest.raises(LockTimeoutError, match="may be cleared"):
        cache.clear()


def test_signals_are_handled_between_slices(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache(lock_timeout=30)
    cache.set("key", 1)
    monkeypatch.setattr(_raw, "_c_touch", Busy(None, times=1e9))

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            cache.touch("key", 5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 15


def test_closing_under_other_threads_is_clean(make_cache: Any) -> None:
    cache = make_cache()
    outcomes: list[Any] = []

    def work() -> None:
        try:
            while True:
                cache.set("key", b"v" * 1000)
                assert cache.get("key") in (None, b"v" * 1000)
        except lilcache.ClosedError:
            outcomes.append("closed")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while cache.stats().sets < 1000:
        pass
    cache.close()
    for thread in threads:
        thread.join()
    assert outcomes == ["closed"] * 4


def test_a_pop_of_a_large_value_deletes_once_it_has_it(make_cache: Any) -> None:
    cache = make_cache()
    value = b"large" * 200_000
    cache.set("key", value)
    assert cache.pop("key") == value
    assert cache.pop("key") is None
