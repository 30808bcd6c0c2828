"""Values that say what they are, so that whoever reads one can tell a wrong one.

A value is fully determined by its first line: key, writer, serial number and size. The
rest repeats a digest of that line, so that every byte is checked.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

SMALL = 120
LARGE = 128 * 1024


class Label(NamedTuple):
    """What a value says of itself."""

    key: str
    writer: str
    serial: int


class WrongValueError(Exception):
    """Bytes that nobody has stored."""


def make(key: str, writer: str, serial: int, size: int) -> bytes:
    """Return the value of this key, writer and serial number.

    Args:
        key: without white space, as is the writer.
        writer: who stores it.
        serial: which of the writer's values it is.
        size: bytes of the value; raised to what its first line takes.
    """
    head = f"{key} {writer} {serial} {size}\n".encode()
    pattern = hashlib.blake2b(head, digest_size=32).digest()
    return head + (pattern * (size // len(pattern) + 1))[: max(size - len(head), 32)]


def read(key: str, value: bytes) -> Label:
    """Return what a value says of itself.

    Raises:
        WrongValueError: it is torn, mixed or damaged, or another key's.
    """
    head, _, _ = value[:200].partition(b"\n")
    try:
        named, writer, serial, size = head.decode().split(" ")
        whole = make(named, writer, int(serial), int(size))
    except ValueError:
        raise WrongValueError(f"{key}: no value at all: {head[:80]!r}") from None
    if named != key:
        raise WrongValueError(f"{key}: the value of {named}")
    if value != whole:
        raise WrongValueError(f"{key}: not every byte is that of {head.decode()}")
    return Label(named, writer, int(serial))
