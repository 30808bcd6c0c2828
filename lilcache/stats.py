"""Stats: one snapshot of a cache's counters, under the names the core reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from ._ffi import ffi, lib


class Stats:
    """Counters and gauges of one cache at one moment; frozen.

    Every name of `as_dict()` is an attribute too. Counters are of all processes since
    the segment was created; `describe(name)` says what one counts.

    Attributes:
        name: The cache's name.
    """

    __slots__ = ("_values", "name")

    name: str
    _values: Mapping[str, int]

    def __init__(self, name: str, values: Mapping[str, int]) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_values", MappingProxyType(dict(values)))

    def as_dict(self) -> dict[str, int]:
        """Return a new dict of all values, in the core's order."""
        return dict(self._values)

    @property
    def hit_ratio(self) -> float:
        """Hits per get, 0.0 before the first."""
        gets = self._values["hits"] + self._values["misses"]
        return self._values["hits"] / gets if gets else 0.0

    @staticmethod
    def describe(name: str) -> str:
        """Return what the counter called name counts.

        Raises:
            KeyError: There is no such counter.
        """
        return _help_texts()[name]

    def __getattr__(self, name: str) -> int:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"there is no counter called {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("Stats is a frozen snapshot")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("Stats is a frozen snapshot")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def __reduce__(self) -> tuple[type[Stats], tuple[str, dict[str, int]]]:
        return Stats, (self.name, self.as_dict())

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self._values.items())
        return f"Stats(name={self.name!r}, {values})"


@lru_cache(maxsize=1)
def stat_names() -> tuple[str, ...]:
    """Return the core's names, in its order."""
    return tuple(_texts(lib.lilcache_stat_name))


@lru_cache(maxsize=1)
def _help_texts() -> dict[str, str]:
    return dict(zip(stat_names(), _texts(lib.lilcache_stat_help), strict=True))


def read_stats(pointer: Any, name: str) -> Stats:
    """Return the statistics of one attachment. Takes no lock."""
    names = stat_names()
    values = ffi.new("uint64_t[]", len(names))
    lib.lilcache_stats(pointer, values, len(names))
    return Stats(name, dict(zip(names, ffi.unpack(values, len(names)), strict=True)))


def _texts(function: Any) -> Iterator[str]:
    index = 0
    while (text := function(index)) != ffi.NULL:
        yield ffi.string(text).decode()
        index += 1
