"""What a call costs in one process: python -m benchmarks.verbs [--rounds N].

First Cache, whose hot verbs are C, beside PlainCache, whose verbs are Python and cffi;
dict.get is the floor. Then Cache without and with local, beside unpickling alone. In
turns within one run: 1,000 keys of 16 characters, values of 100 bytes unless told.
Each figure is the best round, in nanoseconds a call, with the loop's own cost.
"""

from __future__ import annotations

import argparse
import os
import pickle
import secrets
import time
from collections.abc import Callable
from typing import Any

from tabulate import tabulate

import lilcache
from lilcache.cache import Cache, PlainCache

KEYS = [f"key:{number:012d}" for number in range(1000)]
ABSENT = [f"absent:{number:09d}" for number in range(1000)]
TEXTS = [key.encode() for key in KEYS]
VALUE = b"x" * 100
HEADERS = ("verb", "PlainCache", "Cache", "ratio")
KEPT = {
    "local=0": {},
    "local=8000": {"local": 8000},
    "and local_shared": {"local": 8000, "local_shared": True},
}
RECORD = {"id": 1, "name": "someone", "active": True, "score": 1.5, "email": "a@b.c"}
VALUES = {
    "dict of 5 fields": RECORD,
    "bytes, 100 B": VALUE,
    "bytes, 10 kB": VALUE * 100,
}

Call = Callable[[Any], Any]


def verbs(cache: Any) -> dict[str, tuple[Call, list[Any]]]:
    """Return, by name, what is called and with which arguments in turn."""
    get, values, texts = cache.get, VALUE, VALUE.decode()
    for key in KEYS:
        cache.set(key, values)
    for key in TEXTS:
        cache.set(key, texts)
    return {
        "get, bytes": (get, KEYS),
        "get, str": (get, TEXTS),
        "get, miss": (get, ABSENT),
        "set": (lambda key, set=cache.set: set(key, values), KEYS),
        "in": (cache.__contains__, KEYS),
        "incr": (lambda _, incr=cache.incr: incr("count", 1, 0), KEYS),
    }


def round_of(call: Call, arguments: list[Any]) -> float:
    """Return nanoseconds a call of one round."""
    began = time.perf_counter_ns()
    for argument in arguments:
        call(argument)
    return (time.perf_counter_ns() - began) / len(arguments)


def measure(rounds: int) -> tuple[float, dict[str, tuple[float, float]]]:
    """Return the floor, and for each verb PlainCache's figure and Cache's."""
    name = f"verbs-{os.getpid()}-{secrets.token_hex(4)}"
    floor = float("inf")
    found: dict[str, list[float]] = {}
    look_up = dict.fromkeys(KEYS, VALUE).get
    caches = [
        kind(f"{name}-{kind.__name__}", size_mb=16) for kind in (PlainCache, Cache)
    ]
    try:
        calls = [verbs(cache) for cache in caches]
        for _ in range(rounds):
            floor = min(floor, round_of(look_up, KEYS))
            for verb in calls[0]:
                figures = found.setdefault(verb, [float("inf")] * 2)
                for number, of_cache in enumerate(calls):
                    figures[number] = min(figures[number], round_of(*of_cache[verb]))
    finally:
        for cache in caches:
            cache.destroy()
    return floor, {verb: (plain, hot) for verb, (plain, hot) in found.items()}


def measure_kept(rounds: int) -> list[tuple[Any, ...]]:
    """Return a row for each value: a get by each cache of KEPT, and pickle.loads."""
    name = f"verbs-{os.getpid()}-{secrets.token_hex(4)}"
    rows: list[tuple[Any, ...]] = []
    caches = [
        Cache(f"{name}-{number}", size_mb=64, **options)
        for number, options in enumerate(KEPT.values())
    ]
    try:
        for what, value in VALUES.items():
            calls: list[tuple[Call, list[Any]]] = [(c.get, KEYS) for c in caches]
            calls.append((pickle.loads, [pickle.dumps(value, 5)] * len(KEYS)))
            for cache in caches:
                for key in KEYS:
                    cache.set(key, value)
            found = [[round_of(*call) for call in calls] for _ in range(rounds)]
            rows.append((what, *map(min, zip(*found, strict=True))))
    finally:
        for cache in caches:
            cache.destroy()
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verbs")
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    floor, found = measure(rounds)
    rows = [(verb, plain, hot, hot / plain) for verb, (plain, hot) in found.items()]
    print(
        tabulate(rows, HEADERS, tablefmt="github", floatfmt=("", ".0f", ".0f", ".2f"))
    )
    print()
    print(
        tabulate(
            measure_kept(rounds),
            ("get of", *KEPT, "pickle.loads"),
            tablefmt="github",
            floatfmt=".0f",
        )
    )
    print(f"\ndict.get {floor:.0f} ns; lilcache {lilcache.__version__}")


if __name__ == "__main__":
    main()
