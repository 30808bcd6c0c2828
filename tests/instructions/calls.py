"""Calls of lilcache from Python, a thousand of each kind, between marks for callgrind.

    calls.py MARK

MARK is mark.c as a shared library. The loop's own instructions are counted apart.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import lilcache

KEYS = [f"key:{number:012d}" for number in range(1000)]
TEXTS = [f"txt:{number:012d}" for number in range(1000)]
ABSENT = [f"non:{number:012d}" for number in range(1000)]
VALUE = b"x" * 100


def loop(call: Callable[[str], Any], keys: list[str]) -> None:
    """Call with one key after the other."""
    for key in keys:
        call(key)


def loop_set(call: Callable[[str, Any], Any], keys: list[str]) -> None:
    """Set one key after the other."""
    for key in keys:
        call(key, VALUE)


def main() -> None:
    mark = ctypes.CDLL(sys.argv[1])

    def count(name: str, run: Callable[..., object], *arguments: Any) -> None:
        mark.mark_begin()
        run(*arguments)
        mark.mark_end(name.encode())

    cache = lilcache.Cache(name=None, size_mb=8)
    for key in TEXTS:
        cache.set(key, VALUE.decode())
    cache.set("n", 0)
    for _ in range(2):  # the later ones count: nothing happens for the first time then
        count("len, for the loop", loop, len, KEYS)
        count("set, a new key", loop_set, cache.set, KEYS)
        count("set", loop_set, cache.set, KEYS)
        count("get", loop, cache.get, KEYS)
        count("get of a str", loop, cache.get, TEXTS)
        count("get, a miss", loop, cache.get, ABSENT)
        count("in", loop, cache.__contains__, KEYS)
        count("incr", loop, cache.incr, ["n"] * len(KEYS))
        count("get_many, a key", cache.get_many, KEYS)
        count("delete", loop, cache.delete, KEYS)
    cache.destroy()


if __name__ == "__main__":
    main()
