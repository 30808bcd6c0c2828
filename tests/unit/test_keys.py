"""lilcache._keys: a canonical, unambiguous encoding and its inverse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilcache import CorruptError, KeyTypeError
from lilcache._ffi import lib
from lilcache._keys import (
    KEY_BYTES,
    KEY_INT,
    KEY_STR,
    KEY_TUPLE,
    MAX_DEPTH,
    decode_key,
    describe_key,
    encode_key,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = TEXT | st.binary() | st.integers()
KEYS = st.recursive(PLAIN, lambda keys: st.lists(keys).map(tuple), max_leaves=20)


def typed(key: Any) -> Any:
    """A key together with its types, since 1 == True and the like would hide them."""
    if type(key) is tuple:
        return tuple, tuple(typed(item) for item in key)
    return type(key), key


@given(KEYS)
def test_round_trip(key: Any) -> None:
    assert typed(decode_key(*encode_key(key))) == typed(key)


@given(KEYS, KEYS)
def test_different_keys_have_different_encodings(one: Any, other: Any) -> None:
    assert (encode_key(one) == encode_key(other)) == (typed(one) == typed(other))


@given(st.binary(), st.integers(0, 5))
def test_any_bytes_decode_or_are_called_corrupt(data: bytes, key_type: int) -> None:
    try:
        key = decode_key(data, key_type)
    except CorruptError:
        return
    assert typed(decode_key(*encode_key(key))) == typed(key)


def test_types_are_those_of_the_header() -> None:
    assert KEY_BYTES == lib.LILCACHE_KEY_BYTES
    assert KEY_STR == lib.LILCACHE_KEY_STR
    assert KEY_INT == lib.LILCACHE_KEY_INT
    assert KEY_TUPLE == lib.LILCACHE_KEY_TUPLE


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("é", (b"\xc3\xa9", KEY_STR)),
        (b"\xe9", (b"\xe9", KEY_BYTES)),
        (0, (b"\0", KEY_INT)),
        (127, (b"\x7f", KEY_INT)),
        (128, (b"\x80\0", KEY_INT)),
        (-1, (b"\xff", KEY_INT)),
        ((), (b"t", KEY_TUPLE)),
        (("a", 1), (b"t\1\1\0\0\0a\2\1\0\0\0\1", KEY_TUPLE)),
    ],
)
def test_encoding_stays_as_it_is(key: Any, encoded: tuple[bytes, int]) -> None:
    """Another encoding would make every key of a live segment a miss."""
    assert encode_key(key) == encoded


def test_depth_is_bounded() -> None:
    key: Any = "core"
    for _ in range(MAX_DEPTH):
        key = (key,)
    assert decode_key(*encode_key(key)) == key
    with pytest.raises(KeyTypeError, match="nested"):
        encode_key((key,))
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(KeyTypeError):
        encode_key((tuple(endless),))


def test_descriptions_are_short_and_never_fail() -> None:
    for data, key_type in [
        (b"\xff", KEY_STR),
        (b"x" * 1000, KEY_BYTES),
        (b"\1" * 60_000, KEY_INT),
        (b"no tuple", KEY_TUPLE),
        (b"", 77),
    ]:
        assert 0 < len(describe_key(data, key_type)) <= 80


def test_messages_survive_a_broken_repr() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    with pytest.raises(KeyTypeError, match="not Broken"):
        encode_key(Broken())
