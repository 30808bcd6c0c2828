"""Processes that stop or die: nobody hangs, nothing false is read."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lilcache import Cache, LockTimeoutError
from lilcache._ffi import lib
from lilcache._options import Options

from ..conftest import ROOT, Child, wait_until

HOLD_LOCK = Path(os.environ.get("LILCACHE_HOLD_LOCK", ROOT / "build/c/hold_lock"))


@pytest.fixture
def hold_lock() -> Iterator[Callable[[Cache], subprocess.Popen[str]]]:
    """Return a function that starts a process which stops with shard 0's lock held."""
    assert HOLD_LOCK.exists(), f"{HOLD_LOCK} is missing: make -C tests/c hold_lock"
    holders: list[subprocess.Popen[str]] = []

    def start(cache: Cache) -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [HOLD_LOCK, Options(cache.name).object_name],
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        status = Path(f"/proc/{holder.pid}/stat")
        wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


@pytest.fixture
def cache(make_cache: Any) -> Cache:
    """One shard, since it is below 64 MiB, so that every write meets the lock."""
    cache: Cache = make_cache(size_mb=4, lock_timeout=0.2)
    cache.set("key", "before")
    cache.set("count", 5)
    return cache


def churn(cache: Cache, until: Callable[[], bool]) -> None:
    """Write past its size: pins of the dead are looked for when they are in the way."""
    wait_until(lambda: cache.set(time.monotonic_ns(), b"x" * 50_000) and until())


def test_writes_time_out_while_a_stopped_process_holds_the_lock(
    cache: Cache, hold_lock: Any
) -> None:
    holder = hold_lock(cache)
    writes: list[Callable[[], Any]] = [
        lambda: cache.set("key", "after"),
        lambda: cache.add("new", "after"),
        lambda: cache.replace("key", "after"),
        lambda: cache.delete("key"),
        lambda: cache.pop("key"),
        lambda: cache.touch("key", 5),
        lambda: cache.incr("count"),
        lambda: cache.cas("key", "after", cache.gets("key")[1]),
        lambda: cache.set_many({"key": "after"}),
        lambda: cache.delete_many(["key"]),
        lambda: cache.clear(),
    ]
    for write in writes:
        began = time.monotonic()
        with pytest.raises(LockTimeoutError, match=r"lock_timeout=0\.2 s") as raised:
            write()
        assert 0.2 <= time.monotonic() - began < 5
        assert cache.name in str(raised.value)
        assert isinstance(raised.value, TimeoutError)
    assert cache.get("key") == "before"
    assert cache.get("count") == 5
    assert cache.get("new") is None
    holder.send_signal(signal.SIGCONT)
    assert holder.wait(20) == 0
    assert cache.set("key", "after")
    assert cache.get("key") == "after"
    assert cache.check() == []


def test_reads_never_wait(cache: Cache, hold_lock: Any) -> None:
    cache.set("bytes", b"value" * 10_000)
    hold_lock(cache)
    began = time.monotonic()
    for _ in range(100):
        assert cache.get("key") == "before"
        assert cache.gets("key")[0] == "before"
        assert cache.ttl("key") is None
        assert "key" in cache
        assert cache.get("absent") is None
        assert cache.get_many(["key", "absent"]) == {"key": "before"}
        assert cache.view("bytes") == b"value" * 10_000
        assert cache.stats().items >= 3
    # Had a read waited, each would have taken a slice of waiting or more.
    assert time.monotonic() - began < 800 * lib.LILCACHE_SLICE_MS / 1000 / 2


def test_ctrl_c_ends_the_wait(
    cache: Cache, hold_lock: Any, child: Callable[..., Child]
) -> None:
    hold_lock(cache)
    waiter = child(
        """
        import sys
        import lilcache
        cache = lilcache.Cache(sys.argv[1], lock_timeout=60)
        print("waiting", flush=True)
        try:
            cache.set("key", "after")
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
        cache.name,
    )
    assert waiter.line() == "waiting"
    wait_until(lambda: cache.stats().lock_waits > 0)
    began = time.monotonic()
    waiter.process.send_signal(signal.SIGINT)
    assert waiter.line() == "interrupted"
    assert time.monotonic() - began < 30
    assert cache.get("key") == "before"


def test_a_holder_that_is_killed_is_recovered_from(
    cache: Cache, hold_lock: Any
) -> None:
    holder = hold_lock(cache)
    holder.kill()
    holder.wait()
    assert cache.set("key", "after")
    assert cache.get("key") == "after"
    assert cache.get("count") == 5
    assert cache.check() == []


def test_killed_writers_leave_a_sound_cache(
    cache: Cache, child: Callable[..., Child]
) -> None:
    """Values tell their key, so that a mixture would show."""
    code = """
        import sys
        import lilcache
        cache = lilcache.Cache(sys.argv[1])
        print("writing", flush=True)
        number = 0
        while True:
            number += 1
            key = number % 500
            value = b"%d %d " % (key, number) * (key % 40 + 1)
            cache.set(("item", key), value)
            cache.incr("total", initial=1)
            if number % 7 == 0:
                cache.delete(("item", (key * 31) % 500))
    """
    for _ in range(10):
        writers = [child(code, cache.name) for _ in range(2)]
        for writer in writers:
            assert writer.line() == "writing"
        target = cache.stats().sets + 2000
        wait_until(lambda target=target: cache.stats().sets > target)
        for writer in writers:
            writer.process.send_signal(signal.SIGKILL)
            writer.process.wait()
        for key in range(500):
            value = cache.get(("item", key))
            if value is not None:
                part = value[: len(value) // (key % 40 + 1)]
                assert value == part * (key % 40 + 1)
                assert part.startswith(b"%d " % key)
        assert cache.set("key", "alive")
        assert cache.check() == []


def test_pins_of_the_dead_come_back(cache: Cache, child: Callable[..., Child]) -> None:
    cache.set("key", b"value" * 1000)
    holder = child(
        """
        import sys
        import lilcache
        cache = lilcache.Cache(sys.argv[1])
        view = cache.view("key")
        print("pinned", flush=True)
        sys.stdin.read()
        """,
        cache.name,
    )
    assert holder.line() == "pinned"
    assert cache.stats().pins == 1
    holder.process.send_signal(signal.SIGKILL)
    holder.process.wait()
    churn(cache, until=lambda: cache.stats().pins == 0)
