"""Values to (payload, value type) and back.

The types bytes, str, int, float, bool and None, by exact type, have an encoding of
their own and never meet a serializer. Everything else, subclasses and numpy scalars
included, goes through it.

A compressor makes long payloads smaller; the value type then carries the bit
COMPRESSED, and every codec reads it.

With a signer every payload is signed, and nothing unsigned is accepted: the value
type then carries the bit SIGNED. incr works on plain integers in the segment, which
cannot be signed, so a signing cache has no counters.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from ._compression import COMPRESSED, Compressor, expand
from ._keys import describe_key
from .errors import CorruptError, SerializationError
from .serializers import (
    TYPE_CUSTOM,
    TYPE_MSGPACK,
    TYPE_PICKLE,
    Serializer,
    Signer,
)

TYPE_BYTES: Final = 0
TYPE_INT64: Final = 1  # LILCACHE_TYPE_INT64
TYPE_STR: Final = 2
TYPE_FLOAT: Final = 3
TYPE_NONE: Final = 4
TYPE_FALSE: Final = 5
TYPE_TRUE: Final = 6
TYPE_BIG_INT: Final = 7
TYPE_SURROGATES: Final = 8  # a str that strict UTF-8 refuses
SIGNED: Final = 0x80

_WRITERS: Final = {
    TYPE_PICKLE: "pickle",
    TYPE_MSGPACK: "safe",
    TYPE_CUSTOM: "a serializer object",
}
_FLOAT: Final = struct.Struct("<d")


class Codec:
    """One cache's way of turning values into bytes and back. Stateless, thread safe.

    Args:
        serializer: What converts all but the native types.
        serializer_type: The value type of what it writes.
        signer: Signs every payload, if given.
        shared: Tells whether others than this user can write the segment now. Given
            where that forbids the serializer, and asked before each use.
        compressor: Compresses payloads, if given.
        raw_max: Tells how long a payload may be that is compressed.
    """

    __slots__ = (
        "_as_is",
        "_compressor",
        "_dumps",
        "_loads",
        "_raw_max",
        "_serializer",
        "_shared",
        "_signer",
        "_type",
        "_verified",
    )

    def __init__(
        self,
        serializer: Serializer,
        serializer_type: int,
        signer: Signer | None,
        shared: Callable[[], bool] | None,
        compressor: Compressor | None,
        raw_max: Callable[[], int],
    ) -> None:
        self._serializer = serializer
        self._dumps = serializer.dumps
        self._loads = serializer.loads
        self._type = serializer_type
        self._signer = signer
        self._shared = shared
        self._compressor = compressor
        self._raw_max = raw_max
        self._as_is = signer is None and compressor is None
        # Decodes what is in a payload whose signature has been looked at.
        self._verified: Codec | None = None
        if signer is not None:
            self._verified = Codec(
                serializer, serializer_type, None, shared, None, raw_max
            )

    @property
    def signs(self) -> bool:
        return self._signer is not None

    def encode(self, value: Any, key: bytes, key_type: int) -> tuple[bytes, int]:
        """Return payload and value type.

        Raises:
            SerializationError: The serializer failed, or must not be used here.
        """
        if type(value) is str:
            try:
                payload, value_type = value.encode(), TYPE_STR
            except UnicodeEncodeError:
                payload = value.encode("utf-8", "surrogatepass")
                value_type = TYPE_SURROGATES
        elif type(value) is bytes:
            payload, value_type = value, TYPE_BYTES
        elif type(value) is int:
            payload, value_type = _encode_int(value)
        elif type(value) is float:
            payload, value_type = _FLOAT.pack(value), TYPE_FLOAT
        elif value is None:
            payload, value_type = b"", TYPE_NONE
        elif value is True:
            payload, value_type = b"", TYPE_TRUE
        elif value is False:
            payload, value_type = b"", TYPE_FALSE
        else:
            payload, value_type = self._dump(value), self._type
        if self._as_is:
            return payload, value_type
        return self.seal(payload, value_type, key, key_type)

    def seal(
        self, payload: bytes, value_type: int, key: bytes, key_type: int
    ) -> tuple[bytes, int]:
        """Return what is stored of a payload: compressed, then signed, or as it is."""
        if self._compressor is not None:
            smaller = self._compressor.shrink(payload, self._raw_max())
            if smaller is not None:
                payload, value_type = smaller, value_type | COMPRESSED
        if self._signer is not None:
            value_type |= SIGNED
            payload = self._signer.sign(payload, value_type, key, key_type)
        return payload, value_type

    def decode(self, payload: bytes, value_type: int, key: bytes, key_type: int) -> Any:
        """Return the value.

        Raises:
            CorruptError: The bytes are not what encode makes, or the signature fails.
            SerializationError: Another serializer wrote the value, or loading failed,
                or a library that decompresses it is not installed.
        """
        if self._signer is not None:
            if not value_type & SIGNED:
                raise CorruptError(
                    f"the value of {describe_key(key, key_type)} is not signed: it was"
                    " not stored by a cache with this signing_key; delete the key"
                )
            payload = self._signer.verify(payload, value_type, key, key_type)
            value_type ^= SIGNED
        try:
            if value_type == TYPE_STR:
                return payload.decode()
            if value_type == TYPE_BYTES:
                return payload
            if value_type == TYPE_INT64 or value_type == TYPE_BIG_INT:
                return int.from_bytes(payload, "little", signed=True)
            if value_type == TYPE_FLOAT:
                return _FLOAT.unpack(payload)[0]
            if value_type == TYPE_SURROGATES:
                return payload.decode("utf-8", "surrogatepass")
        except (UnicodeDecodeError, struct.error) as error:
            raise CorruptError(
                f"the value of {describe_key(key, key_type)} cannot be decoded"
                f" ({error}): the segment is damaged; clear() or destroy() it"
            ) from None
        if value_type == TYPE_NONE:
            return None
        if value_type == TYPE_TRUE:
            return True
        if value_type == TYPE_FALSE:
            return False
        return self._load(payload, value_type, key, key_type)

    def expand(self, payload: bytes, key: bytes, key_type: int) -> bytes:
        """Return what a payload of a type with the bit COMPRESSED was before.

        Raises:
            As decode.
        """
        return expand(
            payload,
            self._raw_max(),
            lambda: f"the value of {describe_key(key, key_type)}",
        )

    def _dump(self, value: Any) -> bytes:
        self._refuse_if_shared()
        try:
            payload = self._dumps(value)
        except Exception as error:
            raise self.dump_error(value, error) from error
        if type(payload) is not bytes:
            raise self.not_bytes(payload)
        return payload

    def dump_error(self, value: Any, error: Exception) -> SerializationError:
        """Return what to raise when dumps has raised an error."""
        return SerializationError(
            f"a value of type {type(value).__name__} cannot be serialized: {error}"
        )

    def not_bytes(self, payload: Any) -> SerializationError:
        """Return what to raise when dumps has returned something else than bytes."""
        return SerializationError(
            f"dumps of {self._serializer!r} returned {type(payload).__name__},"
            " not bytes"
        )

    def load_error(self, payload: bytes, error: Exception) -> SerializationError:
        """Return what to raise when loads has raised an error."""
        return SerializationError(
            f"a stored value of {len(payload)} bytes cannot be loaded: {error}"
        )

    def _load(self, payload: bytes, value_type: int, key: bytes, key_type: int) -> Any:
        if value_type != self._type:
            if value_type & (COMPRESSED | SIGNED) == COMPRESSED:
                payload = self.expand(payload, key, key_type)
                reader = self._verified or self
                return reader.decode(payload, value_type ^ COMPRESSED, key, key_type)
            writer = _WRITERS.get(
                value_type & ~(COMPRESSED | SIGNED), f"value type {value_type}"
            )
            signed = ", signed" if value_type & SIGNED else ""
            raise SerializationError(
                f"the value was written with serializer {writer!r}{signed}, which this"
                f" cache does not read (it has {_WRITERS[self._type]!r}): give all"
                " users of the segment the same serializer= and signing_key="
            )
        self._refuse_if_shared()
        try:
            return self._loads(payload)
        except Exception as error:
            raise self.load_error(payload, error) from error

    def _refuse_if_shared(self) -> None:
        if self._shared is not None and self._shared():
            raise SerializationError(
                "others can write to this segment, and serializer='auto' does not"
                " pickle there, since loading would run what they wrote: pass"
                " serializer='safe', a signing_key=, or 'pickle' if you trust them"
            )


def _encode_int(value: int) -> tuple[bytes, int]:
    """Return payload and value type of an int of any size."""
    try:
        return value.to_bytes(8, "little", signed=True), TYPE_INT64
    except OverflowError:
        length = value.bit_length() // 8 + 1
        return value.to_bytes(length, "little", signed=True), TYPE_BIG_INT
