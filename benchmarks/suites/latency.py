"""What one call costs: 1,000 keys of 16 characters, values of 100 bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ..interleaved import Cell
from ..peers import Verbs

TITLE = "Nanoseconds a call, one process, 1,000 keys of 16 characters, 100-byte values"
SIZE_MB = 64
BY_VERB = False
KEYS = [f"key:{number:012d}" for number in range(1000)]
TEXT_KEYS = [f"txt:{number:012d}" for number in range(1000)]
ABSENT = [f"non:{number:012d}" for number in range(1000)]
VALUE = b"x" * 100

Get = Callable[[str], object]
Set = Callable[[str, object], object]


def call_each(call: Get, keys: list[str], calls: int) -> None:
    """Call with one key after the other."""
    for key in keys[:calls]:
        call(key)


def set_each(call: Set, keys: list[str], value: object, calls: int) -> None:
    """Set one key after the other to the same value."""
    for key in keys[:calls]:
        call(key, value)


def cells(name: str, verbs: Verbs) -> Iterator[Cell]:
    """Yield a peer's cells; its keys are there afterwards."""
    loop = partial(partial, call_each)
    most = len(KEYS)
    if verbs.set is None:
        call_each(verbs.get, KEYS, most)
        yield Cell(name, "get", loop(verbs.get, KEYS), most)
        return
    fill = partial(set_each, verbs.set, KEYS, VALUE)
    fill(most)
    yield Cell(name, "get", loop(verbs.get, KEYS), most)
    if verbs.takes_str:
        set_each(verbs.set, TEXT_KEYS, VALUE.decode(), most)
        yield Cell(name, "get of a str", loop(verbs.get, TEXT_KEYS), most)
    yield Cell(name, "get, a miss", loop(verbs.get, ABSENT), most)
    yield Cell(name, "set", fill, most)
    if verbs.delete is not None:
        yield Cell(name, "delete", loop(verbs.delete, KEYS), most, prepare=fill)
        # The next round's gets find all keys again.
        yield Cell(name, "set of what is absent", fill, most, prepare=loop_gone(verbs))


def loop_gone(verbs: Verbs) -> Callable[[int], None]:
    """Return a function that removes so many keys, all of which are there."""
    assert verbs.set is not None
    assert verbs.delete is not None
    fill = partial(set_each, verbs.set, KEYS, VALUE)
    empty = partial(call_each, verbs.delete, KEYS)

    def prepare(calls: int) -> None:
        fill(calls)
        empty(calls)

    return prepare
