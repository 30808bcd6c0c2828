"""Keys to bytes and back.

A key is a str, bytes, an int of any size, or a tuple of keys, by exact type; each is
its own key, so 'a', b'a' and 1 never meet. The encoding is canonical: equal keys give
equal bytes, different keys of one type give different ones.

    str     UTF-8
    bytes   as they are
    int     two's complement, little endian, as few whole bytes as hold the sign
    tuple   "t", then per element: its type's number, the length of its encoding
            in four bytes, little endian, and its encoding
"""

from __future__ import annotations

from typing import Final, Union

from .errors import CorruptError, KeyEncodingError, KeyTypeError

Key = Union[str, bytes, int, "tuple[Key, ...]"]

# enum lilcache_key_type
KEY_BYTES: Final = 0
KEY_STR: Final = 1
KEY_INT: Final = 2
KEY_TUPLE: Final = 3

# Deeper tuples are a mistake; the bound keeps encoding away from the recursion limit.
MAX_DEPTH: Final = 32

_TUPLE_MARK: Final = b"t"
_LENGTH_BYTES: Final = 4


def encode_key(key: object, depth: int = MAX_DEPTH) -> tuple[bytes, int]:
    """Return the encoding of a key and its key type.

    The length is not checked here: the core does, once for all.

    Args:
        key: The key.
        depth: How deep tuples may still nest.

    Raises:
        KeyTypeError: Not a str, bytes, int or tuple of these, by exact type.
        KeyEncodingError: A str with lone surrogates.
    """
    if type(key) is str:
        try:
            return key.encode(), KEY_STR
        except UnicodeEncodeError as error:
            raise KeyEncodingError(
                f"key {key!r} has a lone surrogate at {error.start}, which UTF-8 cannot"
                " hold: use bytes, e.g. os.fsencode(key) for a file name"
            ) from None
    if type(key) is bytes:
        return key, KEY_BYTES
    if type(key) is int:
        length = key.bit_length() // 8 + 1
        return key.to_bytes(length, "little", signed=True), KEY_INT
    if type(key) is tuple:
        return _encode_tuple(key, depth), KEY_TUPLE
    raise KeyTypeError(
        f"keys are str, bytes, int or tuples of these, not {type(key).__name__}:"
        f" convert {_shortened(key)} first, e.g. with str() or int()"
    )


def decode_key(data: bytes, key_type: int) -> Key:
    """Return the key that encode_key turned into these bytes.

    Raises:
        CorruptError: No key has this encoding.
    """
    try:
        return _decode(data, key_type, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise CorruptError(
            f"a stored key of {len(data)} bytes and type {key_type} cannot be decoded"
            f" ({error}): the segment is damaged; clear() or destroy() it"
        ) from None


def describe_key(data: bytes, key_type: int) -> str:
    """Return a short text for messages; never raises."""
    try:
        text = repr(_decode(data, key_type, MAX_DEPTH))
    except (ValueError, RecursionError):
        text = repr(data)
    return text if len(text) <= 80 else text[:77] + "..."


def _encode_tuple(items: tuple[object, ...], depth: int) -> bytes:
    if depth == 0:
        raise KeyTypeError(f"a tuple key is nested deeper than {MAX_DEPTH} levels")
    parts = [_TUPLE_MARK]
    for item in items:
        data, key_type = encode_key(item, depth - 1)
        parts.append(bytes((key_type,)))
        parts.append(len(data).to_bytes(_LENGTH_BYTES, "little"))
        parts.append(data)
    return b"".join(parts)


def _decode(data: bytes, key_type: int, depth: int) -> Key:
    if key_type == KEY_STR:
        return data.decode()
    if key_type == KEY_BYTES:
        return data
    if key_type == KEY_INT:
        return int.from_bytes(data, "little", signed=True)
    if key_type == KEY_TUPLE:
        return _decode_tuple(data, depth)
    raise ValueError("unknown key type")


def _decode_tuple(data: bytes, depth: int) -> tuple[Key, ...]:
    if depth == 0 or data[:1] != _TUPLE_MARK:
        raise ValueError("not a tuple")
    items: list[Key] = []
    at = 1
    while at < len(data):
        body = at + 1 + _LENGTH_BYTES
        end = body + int.from_bytes(data[at + 1 : body], "little")
        if end > len(data):
            raise ValueError("an element ends past the tuple")
        items.append(_decode(data[body:end], data[at], depth - 1))
        at = end
    return tuple(items)


def _shortened(value: object) -> str:
    """repr for a message: short, and silent about a repr that itself fails."""
    try:
        text = repr(value)
    except Exception:
        return "it"
    return text if len(text) <= 60 else text[:57] + "..."
