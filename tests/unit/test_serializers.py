"""lilcache.serializers: the choices, and signatures."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilcache import ArgumentError, Cache, CorruptError, SerializationError
from lilcache.serializers import Signer, resolve

SECRET = b"0123456789abcdef"
VALUE = {"list": [1, 2.5, "three", b"four", None], "flag": True}


@pytest.mark.parametrize("choice", ["auto", "pickle", "safe"])
def test_choices(make_cache: Any, choice: str) -> None:
    cache = make_cache(serializer=choice)
    cache.set("key", VALUE)
    assert cache.get("key") == VALUE


@pytest.mark.parametrize("choice", ["json", "", None, 1, object(), int, dict])
def test_what_is_no_serializer(unique_name: Any, choice: Any) -> None:
    with pytest.raises(ArgumentError, match="serializer"):
        Cache(unique_name(), serializer=choice)


def test_safe_without_msgspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(ArgumentError, match=r"lilcache\[safe\]"):
        resolve("safe")


def test_safe_never_unpickles(make_cache: Any) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return pytest.fail, ("a pickle was loaded",)

    cache = make_cache(serializer="pickle")
    cache.set("key", Bomb())
    with Cache(cache.name, serializer="safe") as safe:
        with pytest.raises(SerializationError, match="'pickle'"):
            safe.get("key")
        with pytest.raises(SerializationError):
            safe.set("key", object())


class Upper:
    def dumps(self, value: Any) -> bytes:
        if value == ["refuse"]:
            raise KeyError("refused")
        if value == ["text"]:
            return "text"  # type: ignore[return-value]
        return repr(value).encode()

    def loads(self, data: bytes) -> Any:
        if data == b"['unreadable']":
            raise OSError("unreadable")
        return data.decode().upper()


def test_a_serializer_object(make_cache: Any) -> None:
    cache = make_cache(serializer=Upper())
    cache.set("key", ["a"])
    assert cache.get("key") == "['A']"
    cache.set("native", "text")
    assert cache.get("native") == "text"


def test_failures_of_a_serializer_object(make_cache: Any) -> None:
    cache = make_cache(serializer=Upper())
    cache.set("key", "before")
    with pytest.raises(SerializationError, match="refused") as raised:
        cache.set("key", ["refuse"])
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(SerializationError, match="returned str"):
        cache.set("key", ["text"])
    assert cache.get("key") == "before"
    cache.set("key", ["unreadable"])
    with pytest.raises(SerializationError, match="unreadable"):
        cache.get("key")


@given(st.binary(), st.binary(), st.integers(0, 255), st.integers(0, 3))
def test_signatures_verify(
    payload: bytes, key: bytes, value_type: int, key_type: int
) -> None:
    signer = Signer(SECRET)
    signed = signer.sign(payload, value_type, key, key_type)
    assert signer.verify(signed, value_type, key, key_type) == payload


@given(st.data())
def test_any_change_breaks_a_signature(data: st.DataObject) -> None:
    signer = Signer(SECRET)
    payload, key = b"the payload", b"the key"
    signed = signer.sign(payload, 2, key, 1)
    bit = data.draw(st.integers(0, len(signed) * 8 - 1))
    flipped = bytearray(signed)
    flipped[bit // 8] ^= 1 << bit % 8
    wrong = [
        (bytes(flipped), 2, key, 1),
        (signed[:-1], 2, key, 1),
        (signed + b"\0", 2, key, 1),
        (signed, 3, key, 1),
        (signed, 2, key, 0),
        (signed, 2, key + b"\0", 1),
        (signed[:16] + b"y" + signed[16:], 2, b"the ke", 1),
        (b"", 2, key, 1),
    ]
    for arguments in wrong:
        with pytest.raises(CorruptError, match="signature"):
            signer.verify(*arguments)
    with pytest.raises(CorruptError, match="signing_key"):
        Signer(SECRET[::-1]).verify(signed, 2, key, 1)


@pytest.mark.parametrize("secret", [b"", b"short", "0123456789abcdef", 5])
def test_what_is_no_signing_key(unique_name: Any, secret: Any) -> None:
    with pytest.raises(ArgumentError, match="signing_key"):
        Cache(unique_name(), signing_key=secret)


@pytest.mark.parametrize("length", [16, 64, 65, 1000])
def test_signing_keys_of_any_length_matter_whole(length: int) -> None:
    secret = bytes(range(250))[:length].ljust(length, b"x")
    signed = Signer(secret).sign(b"payload", 0, b"key", 0)
    assert Signer(secret).verify(signed, 0, b"key", 0) == b"payload"
    with pytest.raises(CorruptError):
        Signer(secret[:-1] + b"\xff").verify(signed, 0, b"key", 0)


def test_a_signing_cache(make_cache: Any) -> None:
    cache = make_cache(signing_key=SECRET)
    for value in (
        b"",
        b"bytes",
        "text",
        7,
        2**70,
        1.5,
        None,
        True,
        VALUE,
        b"x" * 10**6,
    ):
        cache.set("key", value)
        assert cache.get("key") == value
        assert cache.gets("key")[0] == value
        assert cache.get_many(["key"]) == {"key": value}
        assert cache.pop("key") == value
    cache.set("key", b"seen")
    assert cache.view("key") == b"seen"
    cache.set("key", 1)
    with pytest.raises(TypeError, match="signs its values"):
        cache.incr("key")
    with pytest.raises(ArgumentError, match="signing_key"):
        pickle.dumps(cache)


def test_a_signing_cache_refuses_what_it_did_not_sign(make_cache: Any) -> None:
    cache = make_cache(signing_key=SECRET)
    with Cache(cache.name) as intruder:
        for value in (b"bytes", "text", 7, None, [1]):
            intruder.set("key", value)
            for read in (cache.get, cache.gets, cache.view, cache.pop):
                with pytest.raises(CorruptError):
                    read("key")
                intruder.set("key", value)
            with pytest.raises(CorruptError):
                cache.get_many(["key"])
