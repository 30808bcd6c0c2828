"""view: bytes where they lie, read-only, and unchanged while anybody looks."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from lilcache import NotBytesError, is_copy


def test_view(cache: Any) -> None:
    cache.set("key", b"value")
    view = cache.view("key")
    assert isinstance(view, memoryview)
    assert view.readonly
    assert view == b"value"
    assert not is_copy(view)
    with pytest.raises(TypeError):
        view[0] = 0


def test_view_of_text_is_its_utf8(cache: Any) -> None:
    cache.set("key", "é")
    assert bytes(cache.view("key")) == "é".encode()


def test_view_of_nothing(cache: Any) -> None:
    assert cache.view("absent") is None
    assert cache.view("absent", "default") == "default"
    cache.set("empty", b"")
    assert bytes(cache.view("empty")) == b""


@pytest.mark.parametrize("value", [1, 1.5, None, True, [1], 2**100])
def test_view_of_other_types(cache: Any, value: Any) -> None:
    cache.set("key", value)
    with pytest.raises(NotBytesError, match="key"):
        cache.view("key")
    gc.collect()
    assert cache.stats().pins == 0


def test_view_as_a_context_manager(cache: Any) -> None:
    cache.set("key", b"value")
    with cache.view("key") as view:
        assert view[1:3] == b"al"
        assert cache.stats().pins == 1
    assert cache.stats().pins == 0
    with pytest.raises(ValueError, match="released"):
        view[0]


@pytest.mark.parametrize("size", [100, 3_000_000])
@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.set("key", b"other"),
        lambda cache: cache.delete("key"),
        lambda cache: cache.clear(),
        lambda cache: [cache.set(number, b"z" * 50_000) for number in range(1000)],
    ],
    ids=["overwrite", "delete", "clear", "eviction"],
)
def test_a_view_stays_as_it_is(cache: Any, size: int, change: Any) -> None:
    value = bytes(range(250)) * (size // 250)
    cache.set("key", value)
    view = cache.view("key")
    change(cache)
    assert view == value
    part = view[-10:]
    del view
    change(cache)
    assert part == value[-10:]


def test_views_survive_close(cache: Any) -> None:
    cache.set("key", b"value" * 1000)
    view = cache.view("key")
    cache.close()
    gc.collect()
    assert view == b"value" * 1000
