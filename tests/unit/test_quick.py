"""The hot calls through cffi: get, set and delete of str and bytes keep the GIL."""

from __future__ import annotations

import gc
import threading
from functools import partial
from types import BuiltinFunctionType
from typing import Any

import pytest

import lilcache
from lilcache import LockTimeoutError, SerializationError, _raw, _scratch
from lilcache import cache as cache_module
from lilcache._ffi import lib, quick
from lilcache.cache import PlainCache

HOT_SETS = [name for name in dir(cache_module) if name.startswith("quick_set_")]
HOT_DELETES = [name for name in dir(cache_module) if name.startswith("quick_delete_")]
PAIRS = [(key, value) for key in ("key", b"key") for value in ("vä\0lue", b"\xffvalue")]


@pytest.fixture
def make_cache(make_cache: Any) -> Any:
    return partial(make_cache, PlainCache)


def busy(*arguments: Any) -> int:
    return int(lib.LILCACHE_BUSY)


def not_stored(*arguments: Any) -> bool:
    return False


def test_they_hold_the_gil() -> None:
    assert quick.quick_holds_gil() == 1


@pytest.mark.parametrize(("key", "value"), PAIRS)
def test_they_alone_do_the_common_case(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch, key: Any, value: Any
) -> None:
    cache = make_cache()
    assert cache.get(key) is None  # the first supplies the pool
    monkeypatch.setattr(cache, "_raw", None)
    assert cache.get(key) is None
    assert cache.set(key, value)
    assert cache.get(key) == value
    assert type(cache.get(key)) is type(value)
    assert cache.delete(key) is True
    assert cache.delete(key) is False


@pytest.mark.parametrize(
    "value",
    [
        "",
        b"",
        0,
        -1,
        2**63,
        1.5,
        True,
        False,
        None,
        "\ud800",
        {"a": [1]},
        300,
        "x" * 300,
    ],
)
@pytest.mark.parametrize("key", ["key", b"key"])
def test_a_hot_get_tells_all_types_apart(make_cache: Any, key: Any, value: Any) -> None:
    cache = make_cache()
    cache.set(key, value)
    assert cache.get(key, "default") == value
    assert type(cache.get(key)) is type(value)


@pytest.mark.parametrize("kind", [str, bytes])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_values_around_the_size_of_the_buffer(
    make_cache: Any, kind: Any, more: int
) -> None:
    cache = make_cache()
    value = b"v" * (_scratch.SCRATCH_BYTES + more)
    for stored in (value, value.decode(), tuple(value)):
        cache.set("key", stored)
        assert cache.get("key") == stored
    assert _scratch.SCRATCH_BYTES < quick.QUICK_RESULT_STR


def test_what_would_wait_goes_the_long_way(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache()
    for name in HOT_SETS:
        monkeypatch.setattr(cache_module, name, not_stored)
    for name in HOT_DELETES:
        monkeypatch.setattr(cache_module, name, busy)
    assert len(HOT_SETS) == 4
    assert len(HOT_DELETES) == 2
    for key, value in PAIRS:
        assert cache.set(key, value)
        assert cache.get(key) == value
        assert cache.delete(key) is True
        assert cache.delete(key) is False


def test_the_long_way_gives_up_after_lock_timeout(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache(lock_timeout=0.05)
    cache.set("key", 1)
    for name in HOT_SETS:
        monkeypatch.setattr(cache_module, name, not_stored)
    for name in HOT_DELETES:
        monkeypatch.setattr(cache_module, name, busy)
    for name in ("_c_set", "_c_delete"):
        monkeypatch.setattr(_raw, name, busy)
    for call in (lambda: cache.set("key", "2"), lambda: cache.delete("key")):
        with pytest.raises(LockTimeoutError, match=cache.name):
            call()
    assert cache.get("key") == 1


def test_a_signing_cache_gets_nothing_unsigned(make_cache: Any) -> None:
    plain = make_cache()
    signing = lilcache.Cache(plain.name, signing_key=b"0123456789abcdef")
    for value in ("", b"", "text", b"bytes"):
        signing.set("key", value)
        assert signing.get("key") == value
        with pytest.raises((lilcache.CorruptError, SerializationError)):
            plain.get("key")
        plain.set("key", value)
        with pytest.raises(lilcache.CorruptError, match="not signed"):
            signing.get("key")
    signing.close()


@pytest.mark.parametrize("key", ["str", b"bytes"])
def test_a_get_inside_a_get(make_cache: Any, key: Any) -> None:
    """A signal handler may read between a C call and the slice of its buffer."""
    cache = make_cache()
    cache.set(key, b"outer" * 100)
    cache.set("inner", b"INNER" * 100)
    depth = 0

    def reentering(get: Any, data: bytes) -> Any:
        nonlocal depth
        result = get(data)
        depth += 1
        if depth == 1:
            for _ in range(3):
                assert cache.get("inner") == b"INNER" * 100
        return result

    cache.get(key)
    pool = cache._handle.pool
    get_str, get_bytes, *rest = pool[-1]
    pool[-1] = (partial(reentering, get_str), partial(reentering, get_bytes), *rest)
    assert cache.get(key) == b"outer" * 100
    assert depth >= 1
    for _ in range(3):
        assert cache.get(key) == b"outer" * 100


def has_number(cache: Any) -> bool:
    """Tell whether gets use a function of one argument."""
    cache.get("key")
    return all(type(get) is BuiltinFunctionType for get in cache._handle.pool[-1][:2])


def test_more_caches_than_numbers(make_cache: Any) -> None:
    """Those without a number work like the others."""
    caches = [make_cache() for _ in range(20)]
    for number, cache in enumerate(caches):
        for key in ("key", b"key"):
            cache.set(key, number)
    for _ in range(2):
        for number, cache in enumerate(caches):
            for key in ("key", b"key"):
                assert cache.get(key) == number
            assert cache.get("absent") is None
    assert not has_number(caches[-1])
    for cache in caches:
        cache.close()
    assert has_number(make_cache())


@pytest.mark.parametrize("close", [True, False])
def test_numbers_are_given_back(make_cache: Any, close: bool) -> None:
    name = make_cache().name
    for _ in range(40):
        cache = PlainCache(name)
        assert has_number(cache)
        if close:
            cache.close()
        del cache


def test_a_get_under_way_keeps_its_number(make_cache: Any) -> None:
    """Else it would read from whichever cache is opened next."""
    cache = make_cache()
    cache.set("key", "value")
    cache.get("key")
    get, *_, call = hot = cache._handle.pool.pop()
    cache.close()
    for _ in range(20):
        other = make_cache()
        other.set("key", "value of the other")
        assert other.get("key") == other.get("key") == "value of the other"
    assert get(b"key") == quick.quick_get_str(call, b"key", 3)
    assert get(b"key") == quick.QUICK_RESULT_STR + len("value")
    del hot


def test_a_number_outlives_the_finalisers_of_a_cycle(make_cache: Any) -> None:
    """They may use the cache after the collector has called those of cffi."""
    name = make_cache().name
    found: list[Any] = []

    class Session:
        def __init__(self) -> None:
            self.cycle = self
            self.cache = PlainCache(name)
            self.cache.set("key", "value")
            self.cache.get("key")

        def __del__(self) -> None:
            other = make_cache()
            other.set("key", "value of the other")
            assert other.get("key") == other.get("key") == "value of the other"
            found.append(self.cache.get("key"))

    for _ in range(20):
        Session()
        gc.collect()
    assert found == ["value"] * 20


@pytest.mark.parametrize("kind", [str, str.encode])
def test_keys_with_nul(make_cache: Any, kind: Any) -> None:
    cache = make_cache()
    keys = [kind(key) for key in ("\0", "a", "a\0", "a\0b", "\0a", "a\0\0")]
    for value, key in enumerate(keys):
        assert cache.get(key) is None
        cache.set(key, value)
    for _ in range(2):
        assert [cache.get(key) for key in keys] == list(range(len(keys)))


@pytest.mark.parametrize("kind", [str, str.encode, int])
def test_threads_have_buffers_of_their_own(make_cache: Any, kind: Any) -> None:
    cache = make_cache()
    wrong: list[Any] = []

    def work(number: int) -> None:
        key = kind(str(number))
        value = bytes([number]) * 5000
        for _ in range(2000):
            cache.set(key, value)
            got = cache.get(key)
            if got != value:
                wrong.append((number, got))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(("key", "value"), PAIRS)
def test_after_close_they_say_so(make_cache: Any, key: Any, value: Any) -> None:
    cache = make_cache()
    cache.set(key, value)
    cache.get(key)
    cache.close()
    for call in (
        lambda: cache.get(key),
        lambda: cache.set(key, value),
        lambda: cache.delete(key),
    ):
        with pytest.raises(lilcache.ClosedError):
            call()


@pytest.mark.parametrize("key", ["key", b"key"])
def test_a_retired_segment_is_left(make_cache: Any, key: Any) -> None:
    cache = make_cache()
    other = lilcache.Cache(cache.name)
    cache.set(key, "old")
    assert other.get(key) == "old"
    cache.destroy()
    assert other.get(key) is None
    assert other.set(key, "new")
    assert other.get(key) == "new"
    other.destroy()
