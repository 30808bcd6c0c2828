"""lilcache.pins: where views lie, and when their pins go."""

from __future__ import annotations

import gc
import pickle
import time
from typing import Any

import numpy
import pytest

from lilcache import Cache, is_copy
from lilcache import pins as pins_module
from lilcache._ffi import ffi, lib


def address(buffer: Any) -> int:
    return numpy.frombuffer(buffer, dtype=numpy.uint8).ctypes.data


def pins(cache: Cache) -> int:
    return cache.stats().pins


@pytest.mark.parametrize("size", [1, 1000, 100_000, 4 * 1024 * 1024])
def test_a_view_lies_in_the_mapping(make_cache: Any, size: int) -> None:
    cache = make_cache()
    cache.set("key", b"v" * size)
    pointer = cache._handle.pointer
    base = int(ffi.cast("uintptr_t", lib.lilcache_base(pointer)))
    at = address(cache.view("key"))
    assert base < at
    assert at + size <= base + cache.size_bytes


def test_large_values_are_aligned_for_arrays(make_cache: Any) -> None:
    cache = make_cache()
    for number in range(10):
        cache.set(number, b"v" * (65_536 + number))
        assert address(cache.view(number)) % 64 == 0


def test_a_pin_goes_with_its_view(make_cache: Any) -> None:
    cache = make_cache()
    cache.set("key", b"value")
    view = cache.view("key")
    assert pins(cache) == 1
    del view
    gc.collect()
    assert pins(cache) == 0


def test_a_pin_stays_until_the_last_export_is_gone(make_cache: Any) -> None:
    cache = make_cache()
    cache.set("key", bytes(range(100)))
    view = cache.view("key")
    part = view[10:20]
    array = numpy.frombuffer(part, dtype=numpy.uint8)
    del view
    gc.collect()
    assert pins(cache) == 1
    del part
    gc.collect()
    assert pins(cache) == 1
    assert list(array) == list(range(10, 20))
    del array
    gc.collect()
    assert pins(cache) == 0


def test_leaving_with_while_an_array_lives(make_cache: Any) -> None:
    cache = make_cache()
    cache.set("key", b"value")
    with cache.view("key") as view:
        array = numpy.frombuffer(view, dtype=numpy.uint8)
        part = view[1:]
    with pytest.raises(ValueError, match="released"):
        view[0]
    cache.delete("key")
    assert bytes(array) == b"value"
    assert part == b"alue"
    assert pins(cache) == 1
    del array, part
    gc.collect()
    assert pins(cache) == 0


def test_leaving_with_while_the_memory_is_exported(make_cache: Any) -> None:
    """A plain memoryview would refuse to be left."""
    cache = make_cache()
    cache.set("key", b"value")
    with cache.view("key") as memory:
        export = pickle.PickleBuffer(memory)
    cache.delete("key")
    assert bytes(export) == b"value"
    assert pins(cache) == 1
    export.release()
    del memory
    gc.collect()
    assert pins(cache) == 0


def test_arrays_are_read_only(make_cache: Any) -> None:
    cache = make_cache()
    cache.set("key", b"12345678")
    array = numpy.frombuffer(cache.view("key"), dtype=numpy.int64)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


def test_the_mapping_outlives_close_while_a_view_lives(make_cache: Any) -> None:
    cache = make_cache()
    cache.set("key", b"value" * 10_000)
    view = cache.view("key")
    cache.destroy()
    del cache
    gc.collect()
    assert view == b"value" * 10_000


def test_size_does_not_matter(make_cache: Any) -> None:
    """10 MB take about as long as 10 KB; a copy would take a thousand times longer."""
    cache = make_cache(size_mb=64, max_value_mb=12)
    times = {}
    for size in (10_000, 10_000_000):
        cache.set(size, b"v" * size)
        best = float("inf")
        for _ in range(200):
            began = time.perf_counter()
            numpy.frombuffer(cache.view(size), dtype=numpy.uint8)
            best = min(best, time.perf_counter() - began)
        times[size] = best
    assert times[10_000_000] < 10 * times[10_000]


def test_a_view_that_must_be_a_copy(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache()
    cache.set("small", b"value")
    cache.set("large", b"value" * 100_000)
    monkeypatch.setattr("lilcache._raw._c_pin", lambda *_: lib.LILCACHE_NO_PIN)
    for key, value in (("small", b"value"), ("large", b"value" * 100_000)):
        view = cache.view(key)
        assert is_copy(view)
        assert view.readonly
        assert view == value
        assert cache.get(key) == value
        assert cache.gets(key)[0] == value
    assert cache.view("absent") is None


def test_many_views_at_once_are_right_copies_or_not(make_cache: Any) -> None:
    cache = make_cache(size_mb=8)
    values = {number: bytes([number % 251]) * 20_000 for number in range(300)}
    views = {}
    for number, value in values.items():
        cache.set(number, value)
        views[number] = cache.view(number)
    for number, view in views.items():
        assert view is None or view == values[number]
    assert any(view is not None and is_copy(view) for view in views.values())
    views.clear()
    del view
    gc.collect()
    assert pins(cache) == 0


def test_an_exception_after_the_pin_leaks_nothing(
    make_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C might raise it, between the core's answer and the first use of it."""
    cache = make_cache(size_mb=8)
    cache.set("key", b"value" * 100_000)  # as long as get pins, too

    def interrupted(claim: pins_module.Claim) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(pins_module.Claim, "export", interrupted)
    monkeypatch.setattr(pins_module.Claim, "copy", interrupted)
    for call in (cache.view, cache.get):
        with pytest.raises(KeyboardInterrupt):
            call("key")
    gc.collect()
    assert pins(cache) == 0
