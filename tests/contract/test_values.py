"""Every value comes back equal and of its exact type."""

from __future__ import annotations

import datetime
import enum
import math
import random
import struct
from typing import Any

import numpy
import pytest

from lilcache import SerializationError, ValueSizeError

from ..conftest import short


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    pass


class Bytes(bytes):
    pass


NATIVE = [
    b"",
    b"\0",
    b"bytes" * 1000,
    "",
    "text",
    "Zürich \N{SNOWMAN} \U0001f600",
    "lone \ud800 and \udfff",
    "\0",
    0,
    1,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    -(2**63) - 1,
    2**4000,
    -(2**4000),
    0.0,
    1.5,
    math.inf,
    -math.inf,
    5e-324,
    True,
    False,
    None,
]
BY_SERIALIZER = [
    [],
    [1, "two", b"three", None],
    {"nested": {"list": [1.5, True]}},
    (1, 2),
    {1, 2},
    datetime.datetime(2024, 2, 29, 12, 30),
    Colour.RED,
    Text("subclass"),
    Bytes(b"subclass"),
    bytearray(b"mutable"),
    numpy.float64(1.5),
    numpy.int64(7),
    1j,
]


@pytest.mark.parametrize("value", NATIVE + BY_SERIALIZER, ids=short)
def test_round_trip(cache: Any, value: Any) -> None:
    assert cache.set("key", value) is True
    got = cache.get("key")
    assert got == value
    assert type(got) is type(value)
    assert cache.gets("key")[0] == value
    assert cache.get_many(["key"]) == {"key": value}
    assert cache.pop("key") == value


@pytest.mark.parametrize("value", [float("nan"), -0.0])
def test_floats_keep_every_bit(cache: Any, value: float) -> None:
    cache.set("key", value)
    assert struct.pack("d", cache.get("key")) == struct.pack("d", value)


@pytest.mark.parametrize("size", [1, 7, 8, 4095, 16 * 1024, 16 * 1024 + 1, 1 << 20])
def test_sizes(cache: Any, size: int) -> None:
    value = bytes(range(256)) * (size // 256 + 1)
    cache.set("key", value[:size])
    assert cache.get("key") == value[:size]
    assert cache.pop("key") == value[:size]


def test_largest_value(cache: Any, max_value_bytes: int) -> None:
    value = b"\x5a" * max_value_bytes
    assert cache.set("key", value)
    assert cache.get("key") == value
    assert cache.gets("key")[0] == value
    assert cache.get_many(["key", "other"]) == {"key": value}
    assert cache.pop("key") == value
    assert cache.get("key") is None


def test_too_large_a_value_changes_nothing(cache: Any, max_value_bytes: int) -> None:
    cache.set("key", "before")
    large = random.Random(1).randbytes(max_value_bytes + 1)  # nothing compresses it
    for write in (cache.set, cache.add, cache.replace):
        with pytest.raises(ValueSizeError, match=f"{max_value_bytes + 1} bytes"):
            write("key", large)
    with pytest.raises(ValueSizeError):
        cache.set_many({"first": 1, "key": large})
    assert cache.get("key") == "before"
    assert cache.get("first") is None


def test_a_stored_none_is_no_miss(cache: Any) -> None:
    cache.set("key", None)
    assert cache.get("key", "default") is None
    assert cache.get("other", "default") == "default"


def test_what_no_serializer_takes_changes_nothing(cache: Any) -> None:
    cache.set("key", "before")
    with pytest.raises(SerializationError, match="function"):
        cache.set("key", lambda: None)
    assert cache.get("key") == "before"
