"""lilcache._codec: value types, and what a reader must refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilcache import CorruptError, SerializationError
from lilcache import _codec as codec
from lilcache._codec import Codec
from lilcache._compression import Compressor
from lilcache._ffi import lib
from lilcache.serializers import Signer, resolve

KEY = (b"key", 1)
SECRET = b"0123456789abcdef"
RAW_MAX = 1 << 20


def make(
    choice: Any = "pickle",
    secret: bytes | None = None,
    shared: Any = None,
    compression: str | None = None,
) -> Codec:
    signer = None if secret is None else Signer(secret)
    compressor = None if compression is None else Compressor(compression, 0)
    return Codec(*resolve(choice), signer, shared, compressor, lambda: RAW_MAX)


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.binary()
    | st.text(st.characters())
    | st.lists(st.integers())
)
@pytest.mark.parametrize("secret", [None, SECRET])
def test_round_trip(secret: bytes | None, value: Any) -> None:
    subject = make(secret=secret)
    got = subject.decode(*subject.encode(value, *KEY), *KEY)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (b"bytes", (b"bytes", 0)),
        (-2, (b"\xfe" + b"\xff" * 7, 1)),
        ("é", (b"\xc3\xa9", 2)),
        (1.0, (b"\0\0\0\0\0\0\xf0\x3f", 3)),
        (None, (b"", 4)),
        (False, (b"", 5)),
        (True, (b"", 6)),
        (2**63, (b"\0" * 7 + b"\x80\0", 7)),
        ("\ud800", (b"\xed\xa0\x80", 8)),
    ],
    ids=ascii,
)
def test_encoding_stays_as_it_is(value: Any, encoded: tuple[bytes, int]) -> None:
    """Processes of the version before may read what this one writes."""
    assert make().encode(value, *KEY) == encoded


def test_integers_are_those_that_incr_counts() -> None:
    assert codec.TYPE_INT64 == lib.LILCACHE_TYPE_INT64


@given(st.binary(max_size=40), st.integers(0, 255))
@pytest.mark.parametrize("secret", [None, SECRET])
def test_any_bytes_decode_or_are_refused(
    secret: bytes | None, payload: bytes, value_type: int
) -> None:
    try:
        make("safe", secret).decode(payload, value_type, *KEY)
    except (CorruptError, SerializationError):
        pass
    else:
        assert secret is None, "nothing random carries a signature"


@pytest.mark.parametrize("value_type", [codec.TYPE_STR, codec.TYPE_FLOAT, 8])
def test_damaged_native_values(value_type: int) -> None:
    with pytest.raises(CorruptError, match="'key' cannot be decoded"):
        make().decode(b"\xff\xfe\xfd", value_type, *KEY)


class Reversed:
    """A serializer of one's own."""

    def dumps(self, value: Any) -> bytes:
        return bytes(reversed(value["text"].encode()))

    def loads(self, data: bytes) -> Any:
        return {"text": bytes(reversed(data)).decode()}


def test_what_another_serializer_wrote_is_not_read() -> None:
    choices = ["pickle", "safe", Reversed()]
    for writer in choices:
        encoded = make(writer).encode({"text": "abc"}, *KEY)
        for reader in choices:
            if reader is writer:
                assert make(reader).decode(*encoded, *KEY) == {"text": "abc"}
            else:
                with pytest.raises(SerializationError, match="serializer="):
                    make(reader).decode(*encoded, *KEY)


def test_signed_and_unsigned_do_not_mix() -> None:
    plain, signing = make(), make(secret=SECRET)
    for value in (b"bytes", "text", 1, None, [1]):
        with pytest.raises(CorruptError, match="not signed"):
            signing.decode(*plain.encode(value, *KEY), *KEY)
        with pytest.raises(SerializationError, match="signed"):
            plain.decode(*signing.encode(value, *KEY), *KEY)


def test_shared_segments_forbid_pickle_both_ways() -> None:
    shared = False
    subject = make("auto", shared=lambda: shared)
    encoded = subject.encode([1], *KEY)
    assert subject.decode(*encoded, *KEY) == [1]
    shared = True
    with pytest.raises(SerializationError, match="others can write"):
        subject.decode(*encoded, *KEY)
    with pytest.raises(SerializationError, match="others can write"):
        subject.encode([1], *KEY)
    assert subject.decode(*subject.encode("native", *KEY), *KEY) == "native"
