"""Serializers: any other object to bytes and back; and signatures over values.

    "auto"    pickle, but only while nobody else can write the segment (the default)
    "pickle"  pickle, wherever the segment is: for segments shared with trusted users
    "safe"    MessagePack by msgspec: plain data only, can never run code
    an object with dumps(value) -> bytes and loads(data) -> value

Values of the built-in types bytes, str, int, float, bool and None never come here.
"""

from __future__ import annotations

import hashlib
import hmac
import pickle
import struct
from typing import Any, Final, Protocol, Union, runtime_checkable

from .errors import ArgumentError, CorruptError

# Value types of what a serializer wrote. They keep a cache that never unpickles from
# being handed a pickle by one that does.
TYPE_PICKLE: Final = 16
TYPE_MSGPACK: Final = 17
TYPE_CUSTOM: Final = 18

# Protocol 5 is the newest that every supported Python reads.
PICKLE_PROTOCOL: Final = 5

MIN_KEY_BYTES: Final = 16


@runtime_checkable
class Serializer(Protocol):
    """What `serializer=` takes besides the names. Must be usable by several threads.

    Its methods are looked up once, when a cache is opened.
    """

    def dumps(self, value: Any) -> bytes:
        """Return value as bytes; whatever it raises becomes a SerializationError."""
        ...

    def loads(self, data: bytes) -> Any:
        """Return what dumps was given; data is a private copy."""
        ...


class PickleSerializer:
    """Pickle. Loading runs code that the bytes choose: trust every writer."""

    def dumps(self, value: Any) -> bytes:
        return pickle.dumps(value, PICKLE_PROTOCOL)

    loads = staticmethod(pickle.loads)


class SafeSerializer:
    """MessagePack through msgspec: dicts, lists, sets, dates, dataclasses and the like.

    What comes back is plain: tuples and sets as lists, dataclasses as dicts.
    """

    def __init__(self) -> None:
        try:
            import msgspec
        except ImportError:
            raise ArgumentError(
                "serializer='safe' needs msgspec: pip install 'lilcache[safe]'"
            ) from None
        # The functions, not an Encoder: those may not be shared between threads.
        self._encode = msgspec.msgpack.encode
        self._decode = msgspec.msgpack.decode

    def dumps(self, value: Any) -> bytes:
        return self._encode(value)

    def loads(self, data: bytes) -> Any:
        return self._decode(data)


def resolve(choice: Union[str, Serializer]) -> tuple[Serializer, int]:
    """Return the serializer that a `serializer=` argument means, and its value type.

    Raises:
        ArgumentError: An unknown name, an object without dumps and loads, or "safe"
            without msgspec.
    """
    if choice == "auto" or choice == "pickle":
        return PickleSerializer(), TYPE_PICKLE
    if choice == "safe":
        return SafeSerializer(), TYPE_MSGPACK
    if not isinstance(choice, (str, type)) and isinstance(choice, Serializer):
        return choice, TYPE_CUSTOM
    raise ArgumentError(
        "serializer is 'auto', 'pickle', 'safe' or an object with dumps and loads,"
        f" not {choice!r}"
    )


class Signer:
    """A keyed BLAKE2b over key, type and payload, in front of the payload.

    It proves that a holder of the signing key stored this value under this key. It
    does not prove that it is the latest: an older value of the same key passes too.
    """

    TAG_BYTES: Final = 16

    def __init__(self, signing_key: bytes) -> None:
        if not isinstance(signing_key, (bytes, bytearray, memoryview)):
            raise ArgumentError(
                f"signing_key is bytes, not {type(signing_key).__name__}"
            )
        if len(signing_key) < MIN_KEY_BYTES:
            raise ArgumentError(
                f"signing_key has {len(signing_key)} bytes and needs at least"
                f" {MIN_KEY_BYTES}: make one with secrets.token_bytes(32)"
            )
        # BLAKE2b takes keys up to 64 bytes; a digest admits longer ones.
        self._key = hashlib.blake2b(signing_key, person=b"lilcache-key").digest()

    def sign(self, payload: bytes, value_type: int, key: bytes, key_type: int) -> bytes:
        """Return the tag and the payload."""
        return self._tag(payload, value_type, key, key_type) + payload

    def verify(
        self, signed: bytes, value_type: int, key: bytes, key_type: int
    ) -> bytes:
        """Return the payload of a private copy of signed bytes.

        Raises:
            CorruptError: The tag is not the one of this payload under this key.
        """
        payload = signed[self.TAG_BYTES :]
        tag = self._tag(payload, value_type, key, key_type)
        if not hmac.compare_digest(tag, signed[: self.TAG_BYTES]):
            raise CorruptError(
                "the signature of the value does not match: it was changed, or signed"
                " with another signing_key; delete the key and find out who wrote it"
            )
        return payload

    def _tag(self, payload: bytes, value_type: int, key: bytes, key_type: int) -> bytes:
        state = hashlib.blake2b(
            key=self._key, digest_size=self.TAG_BYTES, person=b"lilcache-value"
        )
        # The length keeps the end of the key and the start of the payload apart.
        state.update(struct.pack("<BBI", key_type, value_type, len(key)))
        state.update(key)
        state.update(payload)
        return state.digest()
